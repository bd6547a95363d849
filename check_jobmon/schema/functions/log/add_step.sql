-- Starts a step of a run.
CREATE OR REPLACE FUNCTION @schema@.add_step(p_job_id bigint, p_action text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_step_id bigint;
BEGIN
    IF p_job_id IS NULL OR p_action IS NULL THEN
        RAISE EXCEPTION 'add_step() needs a job_id and an action, and one of them is NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Pass the job_id that add_job() returned.';
    ELSIF p_job_id = 0 THEN
        -- this run isn't logged: see link_failed()
        RETURN 0;
    END IF;
    IF current_setting('transaction_read_only')::boolean THEN
        RETURN link_call('add_step', ARRAY[NULL, p_job_id::text, p_action], true);
    END IF;
    BEGIN
        v_step_id := nextval('job_detail_step_id_seq');
    EXCEPTION WHEN internal_error OR undefined_table THEN
        -- jobmonctl partition has just replaced the sequence: the link's side finds the new one
        RETURN link_call('add_step', ARRAY[NULL, p_job_id::text, p_action], true);
    END;
    RETURN coalesce(link_call('add_step', ARRAY[v_step_id::text, p_job_id::text, p_action])::bigint, v_step_id);
END
$$;
COMMENT ON FUNCTION @schema@.add_step(bigint, text) IS
    'Starts a step of the run with this job_id and returns its step_id. p_action says what the step does.';
