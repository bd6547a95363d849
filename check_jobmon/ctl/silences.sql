-- Lists silences: first those in force, then those planned, then those that are over, each group from the newest on. @condition@: a
-- condition on s, @state@: a condition on state.state. Parameters: those of @condition@, and the number of rows. Times are for people
-- and, in the JSON, in ISO 8601. `jobs` is the number of jobs that the silence would apply to now, of all that were ever logged or
-- configured.
WITH name AS MATERIALIZED (
    SELECT k.job_name, upper(k.job_name) AS upper_name FROM (@judging/known_names.sql@) AS k
)
SELECT s.silence_id,
       s.pattern,
       CASE jobs.jobs WHEN 0 THEN 'no job matches now' WHEN 1 THEN '1 job matches now'
                      ELSE format('%%s jobs match now', jobs.jobs) END,
       CASE WHEN state.state = 'planned' THEN 'from ' || shown.starts || ' ' ELSE '' END || 'until ' || shown.ends,
       to_char(coalesce(s.ended, s.ends), 'TZ'),
       date_part('epoch', s.ends - s.starts),
       ARRAY[s.silence_id::text, jobs.jobs::text, s.pattern, concat_ws(' by ', state.state, left(s.ended_by, 200)),
             shown.starts, shown.ends, left(s.created_by, 200), s.reason],
       json_build_object(
           'silence_id', s.silence_id,
           'pattern', s.pattern,
           'state', state.state,
           'jobs', jobs.jobs,
           'starts', to_char(s.starts, 'YYYY-MM-DD"T"HH24:MI:SSTZH:TZM'),
           'ends', to_char(s.ends, 'YYYY-MM-DD"T"HH24:MI:SSTZH:TZM'),
           'until_next_run', s.until_next_run,
           'reason', s.reason,
           'created', to_char(s.created, 'YYYY-MM-DD"T"HH24:MI:SSTZH:TZM'),
           'created_by', s.created_by,
           'ended', to_char(s.ended, 'YYYY-MM-DD"T"HH24:MI:SSTZH:TZM'),
           'ended_by', s.ended_by)
  FROM @schema@.job_silence AS s
 CROSS JOIN LATERAL (
        SELECT count(*) AS jobs
          FROM name AS n
         WHERE @schema/silence_matches.sql@
           AND NOT (s.until_next_run AND EXISTS (SELECT
                                                   FROM @schema@.job_log AS l
                                                  WHERE l.job_name = n.job_name
                                                    AND l.end_time >= s.starts
                                                    AND l.start_time >= s.starts))
       ) AS jobs
 CROSS JOIN LATERAL (
        SELECT CASE WHEN s.ended IS NOT NULL THEN 'ended'
                    WHEN s.ends <= now() THEN 'over'
                    WHEN s.starts > now() THEN 'planned'
                    -- the pattern is the name of one job, and that job has run
                    WHEN s.until_next_run AND jobs.jobs = 0 AND s.name_like IS NULL
                     AND EXISTS (SELECT FROM name AS n WHERE n.upper_name = s.pattern) THEN 'over'
                    ELSE 'in force'
               END AS state
       ) AS state
 CROSS JOIN LATERAL (
        SELECT to_char(s.starts, 'YYYY-MM-DD HH24:MI') AS starts,
               CASE WHEN s.until_next_run AND s.ended IS NULL THEN 'its next run, at the latest ' ELSE '' END
               || to_char(coalesce(s.ended, s.ends), 'YYYY-MM-DD HH24:MI') AS ends
       ) AS shown
 WHERE (@condition@)
   AND (@state@)
 ORDER BY array_position(ARRAY['in force', 'planned'], state.state), s.silence_id DESC
 LIMIT %s
