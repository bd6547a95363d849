-- The latest runs that ended with a status, of all jobs or of one.
CREATE OR REPLACE FUNCTION @schema@.show_job_status(p_status text, integer DEFAULT 10) RETURNS SETOF @schema@.job_log
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT l.*
  FROM job_log AS l
 WHERE l.status = p_status
   AND l.end_time IS NOT NULL
 ORDER BY l.job_id DESC
 LIMIT $2
$$;
COMMENT ON FUNCTION @schema@.show_job_status(text, integer) IS
    'The latest runs that ended with this status, newest first; 10 runs by default.';

CREATE OR REPLACE FUNCTION @schema@.show_job_status(p_name text, p_status text, integer DEFAULT 10)
RETURNS SETOF @schema@.job_log
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT l.*
  FROM job_log AS l
 WHERE l.job_name = upper(p_name)
   AND l.status = p_status
   AND l.end_time IS NOT NULL
 ORDER BY l.job_id DESC
 LIMIT $3
$$;
COMMENT ON FUNCTION @schema@.show_job_status(text, text, integer) IS
    'The latest runs of the job with this name that ended with this status, newest first; 10 runs by default.';
