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
   -- Pids are reused. A role that may not see when the backend started gets NULL; then the pid has to suffice.
   -- A later backend has the name that claim_job() gives it; any role could use that name.
   AND (coalesce(a.backend_start <= l.start_time, true)
        OR starts_with(a.application_name, 'jobmon run ' || l.job_id || ':')
           AND pg_has_role(a.usesysid, (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = l.owner), 'MEMBER'))
 ORDER BY l.job_id DESC
 LIMIT $1
$$;
COMMENT ON FUNCTION @schema@.show_running(integer) IS
    'The open runs whose backend is still there, newest first; 10 runs by default.';
