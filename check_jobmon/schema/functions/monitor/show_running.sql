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
   -- a role that may not see when the backend started sees all runs whose pid exists
   AND @schema/own_backend.sql@ IS NOT FALSE
 ORDER BY l.job_id DESC
 LIMIT $1
$$;
COMMENT ON FUNCTION @schema@.show_running(integer) IS
    'The open runs whose backend is still there, newest first; 10 runs by default.';
