-- Who keeps a sql_job() from running, for its log.
CREATE OR REPLACE FUNCTION @schema@.sql_job_under_way(p_job_name text, p_pid integer) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
    SELECT coalesce('job ' || (SELECT min(job_id) FROM job_log
                                WHERE job_name = p_job_name AND end_time IS NULL AND pid = p_pid)
                    || ' (pid ' || p_pid || ') is under way',
                    'the job is under way' || coalesce(' (pid ' || p_pid || ')', ''))
$$;
COMMENT ON FUNCTION @schema@.sql_job_under_way(text, integer) IS
    'Internal: which run keeps a sql_job() from running.';
