-- The link's side of update_step(): [5] is the step_id, [6] the status, [7] the message.
CREATE OR REPLACE FUNCTION @schema@.link_update_step(p_call text[], OUT p_answer text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_time   constant timestamptz := to_timestamp(p_call[4]::double precision);
    v_job_id bigint;
BEGIN
    SELECT job_id INTO v_job_id FROM job_detail WHERE step_id = p_call[5]::bigint;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no step with step_id %', p_call[5]
            USING ERRCODE = 'no_data_found', HINT = 'Pass the step_id that add_step() returned.';
    END IF;
    PERFORM link_own_run(v_job_id, p_call);
    IF EXISTS (SELECT FROM cancelled_job WHERE step_id = p_call[5]::bigint) THEN
        -- the note of cancel_job() stays, whatever the cancelled session logs about its step afterwards
        UPDATE job_detail
           SET end_time = greatest(v_time, end_time),
               elapsed_time = extract(epoch FROM greatest(v_time, end_time) - start_time),
               message = bounded_text(concat_ws('; ', message, p_call[7]))
         WHERE step_id = p_call[5]::bigint
           AND strpos(message, p_call[7]) = 0;
    ELSE
        -- Unless the call is older than what has been logged, or repeats it. If the logged time is in the future, a clock was wrong.
        UPDATE job_detail
           SET end_time = greatest(v_time, start_time),
               elapsed_time = extract(epoch FROM greatest(v_time, start_time) - start_time),
               status = p_call[6],
               message = p_call[7]
         WHERE step_id = p_call[5]::bigint
           AND (end_time IS NULL OR end_time < v_time OR end_time > clock_timestamp());
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.link_update_step(text[]) IS 'Internal: the link''s side of update_step().';
