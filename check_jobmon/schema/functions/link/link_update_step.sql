-- The link's side of update_step().
CREATE OR REPLACE FUNCTION @schema@.link_update_step(p_step_id bigint, p_status text, p_message text, p_role text, p_pid integer,
                                                     p_time timestamptz)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_job_id bigint;
    v_run    @schema@.job_log%ROWTYPE;
BEGIN
    -- nearly every call: the owner ends a step
    UPDATE job_detail AS d
       SET end_time = greatest(p_time, d.start_time),
           elapsed_time = extract(epoch FROM greatest(p_time - d.start_time, '0')),
           status = p_status,
           message = p_message
      FROM job_log AS r
     WHERE d.step_id = p_step_id
       AND d.end_time IS NULL
       AND r.job_id = d.job_id
       AND r.owner = p_role;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    SELECT job_id INTO v_job_id FROM job_detail WHERE step_id = p_step_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no step with step_id %', p_step_id
            USING ERRCODE = 'no_data_found', HINT = 'Pass the step_id that add_step() returned.';
    END IF;
    v_run := link_own_run(v_job_id, p_role, p_pid);
    IF EXISTS (SELECT FROM cancelled_job WHERE step_id = p_step_id) THEN
        -- what cancel_job() has noted stays, whatever the cancelled session says of its step afterwards
        UPDATE job_detail
           SET end_time = greatest(p_time, end_time),
               elapsed_time = extract(epoch FROM greatest(p_time, end_time) - start_time),
               message = bounded_text(concat_ws('; ', message, p_message))
         WHERE step_id = p_step_id
           AND strpos(message, p_message) = 0;
    ELSE
        -- not a call that came before the last one, or was that; but a time that is yet to come is the clock's mistake
        UPDATE job_detail
           SET end_time = greatest(p_time, start_time),
               elapsed_time = extract(epoch FROM greatest(p_time - start_time, '0')),
               status = p_status,
               message = p_message
         WHERE step_id = p_step_id
           AND (end_time IS NULL OR end_time < p_time OR end_time > clock_timestamp());
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.link_update_step(bigint, text, text, text, integer, timestamptz) IS
    'Internal: the link''s side of update_step().';
