-- A job's latest runs, newest first, for show_job() and its siblings.
CREATE OR REPLACE FUNCTION @schema@.job_runs(p_job_name text, p_limit integer) RETURNS SETOF @schema@.job_log
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT l.*
  FROM (
@schema/job_runs.sql@
       ) AS n
 CROSS JOIN LATERAL (
        SELECT *
          FROM job_log
         WHERE job_id = n.job_id
         -- OFFSET 0 makes this an index probe for each run, however many runs the planner expects
         OFFSET 0
       ) AS l
 ORDER BY l.job_id DESC
$$;
COMMENT ON FUNCTION @schema@.job_runs(text, integer) IS
    'Internal: the latest runs of the job with exactly this name, newest first. Call show_job() instead.';
