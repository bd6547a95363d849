-- The link's side of add_step(): [5] is the step_id, NULL if the caller could not allocate one, [6] the job_id, [7] the action.
CREATE OR REPLACE FUNCTION @schema@.link_add_step(p_call text[], OUT p_answer text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_time    constant timestamptz := to_timestamp(p_call[4]::double precision);
    v_step_id bigint;
BEGIN
    PERFORM link_own_run(p_call[6]::bigint, p_call);
    LOOP
        -- this call may have added it already, before the link was lost and the call repeated
        SELECT step_id INTO p_answer
          FROM job_detail
         WHERE job_id = p_call[6]::bigint
           AND start_time = v_time
           AND step_id = coalesce(p_call[5]::bigint, step_id);
        EXIT WHEN FOUND;
        v_step_id := coalesce(p_call[5]::bigint, link_next_id('job_detail', 'step_id'));
        INSERT INTO job_detail (job_id, step_id, action, start_time)
             VALUES (p_call[6]::bigint, v_step_id, p_call[7], v_time)
                 ON CONFLICT DO NOTHING
          RETURNING step_id INTO p_answer;
        EXIT WHEN FOUND;
        IF p_call[5] IS NOT NULL THEN
            RAISE EXCEPTION 'step_id % is another step''s already', v_step_id USING ERRCODE = 'unique_violation';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @schema@.link_add_step(text[]) IS 'Internal: the link''s side of add_step().';
