-- Whether an open run may be under way, so that job_log_clear() keeps it, and ack_crash() doesn't end it.
CREATE OR REPLACE FUNCTION @schema@.may_be_alive(p_run @schema@.job_log) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
-- if the pid is negative, the backend is on another server, where it can't be seen
SELECT p_run.pid < 0
    OR EXISTS (SELECT FROM (SELECT p_run.*) AS l
                 JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
                WHERE @schema/own_backend.sql@ IS NOT FALSE)
$$;
COMMENT ON FUNCTION @schema@.may_be_alive(@schema@.job_log) IS
    'Internal: whether the backend of an open run exists. Also true if that can''t be determined.';
