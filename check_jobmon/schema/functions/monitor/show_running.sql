-- The runs under way.
CREATE OR REPLACE FUNCTION @schema@.show_running(integer DEFAULT 10) RETURNS SETOF @schema@.job_log
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT l.*
  FROM job_log AS l
  JOIN pg_stat_activity AS a
    ON a.pid = l.pid AND a.datname = current_database()
 WHERE l.end_time IS NULL
   -- pids are reused; who may not see when the backend started gets NULL, and then the pid has to do
   AND coalesce(a.backend_start <= l.start_time, true)
 ORDER BY l.job_id DESC
 LIMIT $1
$$;
COMMENT ON FUNCTION @schema@.show_running(integer) IS
    'The runs that are open and whose backend is still there, newest first: 10 of them unless told otherwise.';
