-- The runs that job_log_clear() keeps however old they are: without the first ones, the check would find their jobs MISSING, and without
-- the others, a silence until the next run would silence again. Of a job that has run since p_before no run is kept that started before. In a partitioned log this is seen in the newest partitions: without that condition,
-- each job would be looked up in all partitions.
CREATE OR REPLACE FUNCTION @schema@.job_log_kept_before(p_before timestamptz, OUT job_id bigint, OUT job_name text,
                                                        OUT start_time timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
WITH partitioned AS (
    SELECT p_before AS before FROM pg_class AS c WHERE c.oid = 'job_log'::regclass AND c.relkind = 'p'
), warning AS (
    SELECT t.alert_text AS text FROM job_status_text AS t WHERE t.alert_code = 2
)
SELECT done.job_id, c.job_name, done.start_time
  FROM job_check_config AS c
 CROSS JOIN LATERAL (
        SELECT r.job_id, r.start_time, r.end_time
          FROM job_log AS r
         WHERE r.job_name = c.job_name
           -- the check ignores runs with other times
           AND r.end_time BETWEEN '1000-01-01' AND '9999-12-31'
           -- as in the check, a run that was refused because the job was under way doesn't count
           AND (r.status IS DISTINCT FROM (SELECT text FROM warning)
                OR (SELECT d.action FROM job_detail AS d WHERE d.job_id = r.job_id ORDER BY d.step_id LIMIT 1)
                   IS DISTINCT FROM '@refusal@')
         ORDER BY r.end_time DESC
         LIMIT 1
       ) AS done
 WHERE c.active
   AND done.start_time < p_before
   -- sorted, so that the index (job_name, end_time) finds it
   AND ((SELECT true
           FROM job_log AS r
          WHERE r.job_name = c.job_name
            AND r.start_time >= (SELECT before FROM partitioned)
            AND r.end_time BETWEEN '1000-01-01' AND '9999-12-31'
            -- one that ended before it began, when a clock was set back, may have ended before an old run
            AND r.end_time >= (SELECT before FROM partitioned)
            AND r.status <> (SELECT text FROM warning)
          ORDER BY r.end_time DESC
          LIMIT 1) IS NULL
        -- an old run may have ended after that one
        OR c.job_name IN (SELECT l.job_name
                            FROM job_log AS l
                           WHERE l.start_time < (SELECT before FROM partitioned)
                             AND l.end_time >= (SELECT before FROM partitioned)))
   -- beyond a thousand years a sum could leave the range of a timestamp
   AND CASE -- the thresholds of a job with a schedule count from when it is due next, which may be a year after this run
            WHEN c.schedule IS NOT NULL THEN true
            WHEN greatest(c.warn_threshold, c.error_threshold) >= '1000 years' THEN true
            WHEN greatest(c.warn_threshold, c.error_threshold) <= '-1000 years' THEN false
            -- without any run, the thresholds would count from `since`: a job that is missing would then be OK
            ELSE greatest(done.end_time, least(c.since, clock_timestamp())) + greatest(c.warn_threshold, c.error_threshold)
                 >= clock_timestamp()
       END
 UNION
-- The last run since the beginning of a silence until the next run that would still be in force without it. Silenced are active jobs and
-- those that have failed. A run ends such a silence if it has ended, or has crashed: so an open one is kept, too.
SELECT over.job_id, n.job_name, over.start_time
  FROM job_silence AS s
  JOIN (SELECT c.job_name, upper(c.job_name) AS upper_name FROM job_check_config AS c WHERE c.active
         UNION SELECT f.job_name, upper(f.job_name) FROM job_check_log AS f) AS n
    ON n.upper_name = s.pattern OR n.upper_name LIKE s.name_like AND (s.name_regex IS NULL OR n.upper_name ~ s.name_regex)
 CROSS JOIN LATERAL (
        SELECT DISTINCT ON (r.end_time IS NULL) r.job_id, r.start_time
          FROM job_log AS r
         WHERE r.job_name = n.job_name
           AND r.start_time >= s.starts
           AND r.start_time <= '9999-12-31'
           AND (r.end_time >= s.starts OR r.end_time IS NULL)
         ORDER BY r.end_time IS NULL, r.start_time DESC
       ) AS over
 WHERE s.until_next_run
   AND s.ended IS NULL
   AND s.ends > clock_timestamp()
   AND s.starts < p_before
   AND over.start_time < p_before
$$;
COMMENT ON FUNCTION @schema@.job_log_kept_before(timestamptz) IS
    'Internal: the last completed run of each active configured job, if it started before the parameter, and, unless the job has a '
    'schedule, as long as its thresholds reach back to it or to `since`; and the last run that has ended a silence until the next run.';
