-- The link's side of add_job(): [6] is the job_id, NULL where the caller can't allocate one, and [7] the name.
CREATE OR REPLACE FUNCTION @schema@.link_add_job(p_call text[], OUT p_answer text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_time   constant timestamptz := to_timestamp(p_call[4]::double precision / 1000000);
    v_job_id bigint := p_call[6];
BEGIN
    -- A run that job_log_clear() has deleted must not be added again.
    IF v_time < clock_timestamp() - interval '1 hour' THEN
        RAISE EXCEPTION 'this call was signed at %, more than an hour ago', v_time
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Where the link leads to another server, set the clocks of the two.';
    ELSIF v_job_id IS NULL THEN
        -- it may have been added by this very call, before the link was lost
        SELECT job_id INTO v_job_id
          FROM job_log
         WHERE job_name = p_call[7]
           AND (end_time IS NULL OR end_time >= v_time)
           AND start_time = v_time
           AND pid = p_call[3]::integer
           AND owner = p_call[2];
        v_job_id := coalesce(v_job_id, nextval('job_log_job_id_seq'));
    END IF;
    INSERT INTO job_log (job_id, owner, job_name, start_time, pid)
         VALUES (v_job_id, p_call[2], p_call[7], v_time, p_call[3]::integer)
             ON CONFLICT (job_id) DO NOTHING;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM job_log
                                  WHERE job_id = v_job_id AND job_name = p_call[7] AND start_time = v_time
                                    AND pid = p_call[3]::integer AND owner = p_call[2]) THEN
        RAISE EXCEPTION 'job_id % is another run''s already', v_job_id
            USING ERRCODE = 'unique_violation',
                  HINT = 'Rows were added with a job_id of their own: set the sequence of job_log.job_id to their maximum.';
    END IF;
    p_answer := v_job_id;
END
$$;
COMMENT ON FUNCTION @schema@.link_add_job(text[]) IS 'Internal: the link''s side of add_job().';
