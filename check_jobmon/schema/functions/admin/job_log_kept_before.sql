-- The runs that job_log_clear() keeps however old they are, of those that started before p_before:
-- * the last completed run of a job, without which the check would report the job as MISSING. It need not be kept if the job has run
--   since p_before; in a partitioned log, this is looked up in the newest partitions first, because each job would otherwise have to be
--   looked up in all partitions.
-- * of a job with a schedule, also a run that began later than that one and ended earlier, because its next_due may be the later one
-- * the last run since the beginning of a silence until the next run, because without it, the silence would be in force again. Only active
--   jobs and jobs that have failed are silenced. A run that has completed or crashed ends such a silence.
CREATE OR REPLACE FUNCTION @schema@.job_log_kept_before(p_before timestamptz, OUT job_id bigint, OUT job_name text,
                                                        OUT start_time timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH partitioned AS (
        SELECT p_before AS before FROM pg_class AS c WHERE c.oid = 'job_log'::regclass AND c.relkind = 'p'
    ), status_text AS (
        SELECT t.alert_code, t.alert_text FROM job_status_text AS t
    ), last AS MATERIALIZED (
        SELECT done.job_id, c.job_name, done.start_time, done.next_due, c.schedule
          FROM job_check_config AS c
         CROSS JOIN LATERAL (
                SELECT r.job_id, r.start_time, r.end_time, r.next_due
                  FROM job_log AS r
                 WHERE r.job_name = c.job_name
                   -- the check ignores runs that end at other times
                   AND r.end_time BETWEEN '1000-01-01' AND '9999-12-31'
                   -- so that the index (job_name, end_time) is used: see find_by_index.sql
                   AND (r.job_name, r.end_time) <= (c.job_name, '9999-12-31'::timestamptz)
                   -- as in the check, a run that was refused because the job was under way doesn't count
                   AND @schema/was_no_refusal.sql@
                 ORDER BY r.end_time DESC
                 LIMIT 1
               ) AS done
         WHERE c.active
           AND done.start_time < p_before
           AND (NOT EXISTS (SELECT FROM partitioned)
                OR (SELECT true
                    FROM job_log AS r
                   WHERE r.job_name = c.job_name
                     AND r.start_time >= (SELECT p.before FROM partitioned AS p)
                     AND r.end_time IS NOT NULL
                     -- A run can end before it began, if a clock is set back. Such a run may have ended earlier than an old one.
                     AND (r.job_name, r.end_time) >= (c.job_name, (SELECT greatest(p.before, '1000-01-01') FROM partitioned AS p))
                     -- IS TRUE, so that no index is used for this limit: PostgreSQL would expect far fewer rows than there are
                     AND (r.end_time <= '9999-12-31') IS TRUE
                     AND r.status <> (SELECT t.alert_text FROM status_text AS t WHERE t.alert_code = 2)
                   ORDER BY r.end_time DESC
                   LIMIT 1) IS NULL
                -- a run that began before p_before may have ended later than the one found
                OR c.job_name IN (SELECT l.job_name
                                    FROM job_log AS l
                                   WHERE l.start_time < (SELECT p.before FROM partitioned AS p)
                                     AND l.end_time >= (SELECT p.before FROM partitioned AS p)))
           -- beyond a thousand years a sum could leave the range of a timestamp
           AND CASE -- the thresholds of a job with a schedule count from when it is due next, which may be a year after this run
                    WHEN c.schedule IS NOT NULL THEN true
                    WHEN greatest(c.warn_threshold, c.error_threshold) >= '1000 years' THEN true
                    WHEN greatest(c.warn_threshold, c.error_threshold) <= '-1000 years' THEN false
                    -- without any run, the thresholds would count from `since`: a job that is missing would then be OK
                    ELSE greatest(done.end_time, least(c.since, clock_timestamp())) + greatest(c.warn_threshold, c.error_threshold)
                         >= clock_timestamp()
               END
    )
    SELECT l.job_id, l.job_name, l.start_time FROM last AS l
     UNION
    SELECT later.job_id, l.job_name, later.start_time
      FROM last AS l
     CROSS JOIN LATERAL (
            SELECT r.job_id, r.start_time
              FROM job_log AS r
             WHERE r.job_name = l.job_name
               AND r.end_time BETWEEN l.start_time AND '9999-12-31'
               AND r.next_due > l.next_due
               AND @schema/was_no_refusal.sql@
             ORDER BY r.next_due DESC
             LIMIT 1
           ) AS later
     WHERE l.schedule IS NOT NULL
       AND later.start_time < p_before
     UNION
    SELECT ending.job_id, n.job_name, ending.start_time
      FROM job_silence AS s
      JOIN (SELECT c.job_name, upper(c.job_name) AS upper_name FROM job_check_config AS c WHERE c.active
             UNION SELECT f.job_name, upper(f.job_name) FROM job_check_log AS f) AS n
        ON @schema/silence_matches.sql@
     CROSS JOIN LATERAL (
            SELECT r.job_id, r.start_time
              FROM job_log AS r
             WHERE r.job_name = n.job_name
               AND r.start_time BETWEEN s.starts AND '9999-12-31'
               AND (r.end_time >= s.starts OR r.end_time IS NULL AND NOT may_be_alive(r))
             ORDER BY r.start_time DESC
             LIMIT 1
           ) AS ending
     WHERE s.until_next_run
       AND s.ended IS NULL
       AND s.ends > clock_timestamp()
       AND s.starts < p_before
       AND ending.start_time < p_before;
END
$$;
COMMENT ON FUNCTION @schema@.job_log_kept_before(timestamptz) IS
    'Internal: the runs that job_log_clear() has to keep, of those that started before p_before: the last completed run of each active '
    'job in job_check_config, if the job has a schedule, or if the longer of its thresholds, counted from the end of the run or from '
    '`since`, is not over yet; of a job with a schedule, also the run with the latest next_due; and the last run that ended a silence '
    'until the next run.';
