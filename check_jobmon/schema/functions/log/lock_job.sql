-- Takes the lock on a job's name for one of its runs. The lock is released when the run or its session ends.
CREATE OR REPLACE FUNCTION @schema@.lock_job(p_job_id bigint) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    IF p_job_id IS NULL THEN
        RAISE EXCEPTION 'lock_job() needs a job_id, and this one is NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Pass the job_id that add_job() returned.';
    ELSIF p_job_id = 0 THEN
        -- this run isn't logged: see link_failed()
        RETURN NULL;
    END IF;
    RETURN link_call('lock_job', ARRAY[p_job_id::text], true);
END
$$;
COMMENT ON FUNCTION @schema@.lock_job(bigint) IS
    'Internal: takes the lock on the run''s job, for sql_job() and jobmonctl run --lock. Returns NULL if the run has the lock now, '
    'otherwise a text that says which run has it.';
