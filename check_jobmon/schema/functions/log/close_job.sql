-- Ends a run that succeeded.
CREATE OR REPLACE FUNCTION @schema@.close_job(p_job_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_answer text;
BEGIN
    IF p_job_id IS NULL THEN
        RAISE EXCEPTION 'close_job() needs a job_id, and this one is NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Pass the job_id that add_job() returned.';
    ELSIF p_job_id = 0 THEN
        -- this run isn't logged: see link_failed()
        RETURN;
    END IF;
    v_answer := link_call('end_job', ARRAY[p_job_id::text, '1']);
    PERFORM link_close(p_job_id);
END
$$;
COMMENT ON FUNCTION @schema@.close_job(bigint) IS 'Ends the run as successful, which clears the job''s earlier failures.';
