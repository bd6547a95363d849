-- The link's side of add_step(), which leaves the step_id to this function where it can't allocate one.
CREATE OR REPLACE FUNCTION @schema@.link_add_step(p_step_id bigint, p_job_id bigint, p_action text, p_role text, p_pid integer,
                                                  p_time timestamptz)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_step_id bigint := p_step_id;
    v_run     @schema@.job_log%ROWTYPE;
BEGIN
    IF v_step_id IS NULL THEN
        -- it may have been added by this very call, before the link was lost
        SELECT step_id INTO v_step_id FROM job_detail WHERE job_id = p_job_id AND start_time = p_time;
    ELSE
        INSERT INTO job_detail (job_id, step_id, action, start_time)
             SELECT r.job_id, v_step_id, p_action, p_time
               FROM job_log AS r
              WHERE r.job_id = p_job_id
                AND r.owner = p_role
                 ON CONFLICT (step_id) DO NOTHING;
        IF FOUND THEN
            RETURN v_step_id;
        END IF;
    END IF;
    v_run := link_own_run(p_job_id, p_role, p_pid);
    v_step_id := coalesce(v_step_id, nextval('job_detail_step_id_seq'));
    INSERT INTO job_detail (job_id, step_id, action, start_time)
         VALUES (p_job_id, v_step_id, p_action, p_time)
             ON CONFLICT (step_id) DO NOTHING;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM job_detail
                                  WHERE step_id = v_step_id AND job_id = p_job_id AND start_time = p_time) THEN
        RAISE EXCEPTION 'step_id % is another step''s already', v_step_id
            USING ERRCODE = 'unique_violation',
                  HINT = 'Rows were added with a step_id of their own: set the sequence of job_detail.step_id to their maximum.';
    END IF;
    RETURN v_step_id;
END
$$;
COMMENT ON FUNCTION @schema@.link_add_step(bigint, bigint, text, text, integer, timestamptz) IS
    'Internal: the link''s side of add_step().';
