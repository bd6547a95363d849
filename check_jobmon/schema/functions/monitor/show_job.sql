-- A job's latest runs.
CREATE OR REPLACE FUNCTION @schema@.show_job(p_name text, integer DEFAULT 10) RETURNS SETOF @schema@.job_log
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT *
  FROM job_runs(upper(p_name), $2)
 ORDER BY job_id DESC
$$;
COMMENT ON FUNCTION @schema@.show_job(text, integer) IS
    'The latest runs of the job with this name, newest first; 10 runs by default.';
