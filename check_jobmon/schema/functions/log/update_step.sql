-- Ends a step of a run, or replaces the status and message of a step that has ended.
CREATE OR REPLACE FUNCTION @schema@.update_step(p_step_id bigint, p_status text, p_message text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_answer text;
BEGIN
    IF p_step_id IS NULL THEN
        RAISE EXCEPTION 'update_step() needs a step_id, and this one is NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Pass the step_id that add_step() returned.';
    ELSIF p_step_id = 0 THEN
        -- this step isn't logged: see link_failed()
        RETURN;
    END IF;
    v_answer := link_call('update_step', ARRAY[p_step_id::text, p_status, p_message]);
END
$$;
COMMENT ON FUNCTION @schema@.update_step(bigint, text, text) IS
    'Ends the step with a status, such as OK or CRITICAL, and a message, such as the number of rows affected.';
