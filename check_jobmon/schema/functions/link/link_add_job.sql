-- The link's side of add_job(), which leaves the job_id to this function where it can't allocate one.
CREATE OR REPLACE FUNCTION @schema@.link_add_job(p_job_id bigint, p_job_name text, p_role text, p_pid integer, p_time timestamptz)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_job_id bigint := p_job_id;
BEGIN
    IF v_job_id IS NULL THEN
        -- it may have been added by this very call, before the link was lost
        SELECT job_id INTO v_job_id
          FROM job_log
         WHERE job_name = p_job_name
           AND (end_time IS NULL OR end_time >= p_time)
           AND start_time = p_time
           AND pid = p_pid
           AND owner = p_role;
        v_job_id := coalesce(v_job_id, nextval('job_log_job_id_seq'));
    END IF;
    INSERT INTO job_log (job_id, owner, job_name, start_time, pid)
         VALUES (v_job_id, p_role, p_job_name, p_time, p_pid)
             ON CONFLICT (job_id) DO NOTHING;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM job_log
                                  WHERE job_id = v_job_id AND job_name = p_job_name AND start_time = p_time
                                    AND pid = p_pid AND owner = p_role) THEN
        RAISE EXCEPTION 'job_id % is another run''s already', v_job_id
            USING ERRCODE = 'unique_violation',
                  HINT = 'Rows were added with a job_id of their own: set the sequence of job_log.job_id to their maximum.';
    END IF;
    RETURN v_job_id;
END
$$;
COMMENT ON FUNCTION @schema@.link_add_job(bigint, text, text, integer, timestamptz) IS 'Internal: the link''s side of add_job().';
