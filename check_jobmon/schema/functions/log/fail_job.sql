-- Ends a run that failed.
CREATE OR REPLACE FUNCTION @schema@.fail_job(p_job_id bigint, p_fail_level integer DEFAULT 3) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_answer text;
BEGIN
    IF p_job_id IS NULL THEN
        RAISE EXCEPTION 'fail_job() needs a job_id, and this one is NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Pass the job_id that add_job() returned.';
    ELSIF p_fail_level IS NULL OR p_fail_level = 1 THEN
        RAISE EXCEPTION 'a job can''t fail with level %', coalesce(p_fail_level::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use 2 for a warning, 3 for a critical failure, and close_job() for a success.';
    ELSIF p_job_id = 0 THEN
        -- this run isn't logged: see link_failed()
        RETURN;
    END IF;
    v_answer := link_call('end_job', ARRAY[p_job_id::text, p_fail_level::text]);
    PERFORM link_close(p_job_id);
END
$$;
COMMENT ON FUNCTION @schema@.fail_job(bigint, integer) IS
    'Ends the run as failed: with level 3 (critical) by default, or with level 2 (warning).';
