-- The runs that job_log_clear() keeps however old they are: without them the check would find their jobs MISSING.
CREATE OR REPLACE FUNCTION @schema@.job_log_kept(OUT job_id bigint, OUT job_name text, OUT start_time timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT done.job_id, c.job_name, done.start_time
  FROM job_check_config AS c
 CROSS JOIN LATERAL (
        SELECT l.job_id, l.start_time, l.end_time
          FROM job_log AS l
         WHERE l.job_name = c.job_name
           -- the check ignores runs with other times
           AND l.end_time BETWEEN '1000-01-01' AND '9999-12-31'
           -- as in the check, a run that was refused because the job was under way doesn't count
           AND (l.status IS DISTINCT FROM (SELECT t.alert_text FROM job_status_text AS t WHERE t.alert_code = 2)
                OR (SELECT d.action FROM job_detail AS d WHERE d.job_id = l.job_id ORDER BY d.step_id LIMIT 1)
                   IS DISTINCT FROM '@refusal@')
         ORDER BY l.end_time DESC
         LIMIT 1
       ) AS done
 WHERE c.active
   -- beyond a thousand years a sum could leave the range of a timestamp
   AND CASE WHEN greatest(c.warn_threshold, c.error_threshold) >= '1000 years' THEN true
            WHEN greatest(c.warn_threshold, c.error_threshold) <= '-1000 years' THEN false
            -- without any run, the thresholds would count from `since`: a job that is missing would then be OK
            ELSE greatest(done.end_time, least(c.since, clock_timestamp())) + greatest(c.warn_threshold, c.error_threshold)
                 >= clock_timestamp()
       END
$$;
COMMENT ON FUNCTION @schema@.job_log_kept() IS
    'Internal: the last completed run of each active configured job, as long as its thresholds reach back to it or to `since`.';
