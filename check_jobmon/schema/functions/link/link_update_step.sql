-- What the link runs for update_step().
CREATE OR REPLACE PROCEDURE @schema@.link_update_step(p_step_id bigint, p_status text, p_message text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    UPDATE job_detail
       SET end_time = v_now,
           elapsed_time = extract(epoch FROM v_now - start_time),
           -- what cancel_job() has noted stays, whatever the cancelled session says of its step afterwards
           status = CASE WHEN starts_with(message, 'cancelled by ') THEN status ELSE p_status END,
           message = CASE WHEN starts_with(message, 'cancelled by ') THEN concat_ws('; ', message, p_message)
                          ELSE p_message
                     END
     WHERE step_id = p_step_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no step with step_id %', p_step_id
            USING ERRCODE = 'no_data_found', HINT = 'Pass the step_id that add_step() returned.';
    END IF;
END
$$;
COMMENT ON PROCEDURE @schema@.link_update_step(bigint, text, text) IS 'Internal: the link''s side of update_step().';
