-- Starts a step of a run.
CREATE OR REPLACE FUNCTION @schema@.add_step(p_job_id bigint, p_action text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    -- the id is allocated on the link's side then
    v_read_only boolean := current_setting('transaction_read_only');
    v_step_id   bigint;
    v_answer    text;
BEGIN
    IF p_job_id IS NULL OR p_action IS NULL THEN
        RAISE EXCEPTION 'add_step() needs a job_id and an action, and one of them is NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Pass the job_id that add_job() returned.';
    END IF;
    IF NOT v_read_only THEN
        v_step_id := nextval('job_detail_step_id_seq');
    END IF;
    v_answer := link_call('add_step', ARRAY[v_step_id::text, p_job_id::text, bounded_text(p_action)], v_read_only);
    RETURN coalesce(v_step_id, v_answer::bigint);
END
$$;
COMMENT ON FUNCTION @schema@.add_step(bigint, text) IS
    'Starts a step of the run that add_job() returned the job_id of; p_action says what it does. Returns its step_id.';
