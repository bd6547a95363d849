-- The link's side of add_past_run(), whose arguments begin at [5].
CREATE OR REPLACE FUNCTION @schema@.link_add_past_run(p_call text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_run     constant text[] := p_call[5:];
    v_key     constant uuid := v_run[1];
    v_name    constant text := v_run[2];
    v_code    constant integer := v_run[5];
    v_pid     constant integer := v_run[9];
    -- a client whose clock is ahead of this server's must not log a run in the future
    v_ahead   constant interval := greatest(v_run[4]::timestamptz - clock_timestamp(), '0');
    v_start   constant timestamptz := v_run[3]::timestamptz - v_ahead;
    v_end     timestamptz := v_run[4]::timestamptz - v_ahead;
    v_status  constant text := (SELECT alert_text FROM job_status_text WHERE alert_code = v_code);
    v_job_id  bigint;
    v_step_id bigint;
BEGIN
    IF v_status IS NULL THEN
        RAISE EXCEPTION 'no alert level % in @schema_name@.job_status_text', v_code
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- one call at a time; other sessions that write to the table don't have to wait
    LOCK TABLE past_run IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT job_id INTO v_job_id FROM past_run WHERE key = v_key;
    IF FOUND THEN
        RETURN v_job_id;
    END IF;
    -- The run may have been added before the client lost its connection: its job_id is passed if the client received it.
    SELECT job_id, greatest(v_end, start_time) INTO v_job_id, v_end
      FROM job_log
     WHERE job_name = v_name
       AND owner = p_call[2]
       AND (job_id = v_run[8]::bigint AND pid = v_pid
            -- claim_job() may have changed the pid without the client's knowing
            OR (job_id = v_run[8]::bigint OR v_run[8] IS NULL AND pid = v_pid AND end_time IS NULL)
               AND start_time BETWEEN v_start - interval '1 hour' AND v_end + interval '1 hour')
     ORDER BY job_id DESC
     LIMIT 1
       FOR UPDATE;
    IF NOT FOUND THEN
        v_end := v_run[4]::timestamptz - v_ahead;
    END IF;
    -- job_log's trigger compares the times to find out which run was the latest
    IF v_job_id IS NULL THEN
        INSERT INTO job_log (job_id, owner, job_name, start_time, end_time, status, pid)
             VALUES (link_next_id('job_log', 'job_id'), p_call[2], v_name, v_start, v_end,
                     -- read again, because the word may have been changed while this waited for a lock
                     (SELECT alert_text FROM job_status_text WHERE alert_code = v_code), v_pid)
          RETURNING job_id INTO v_job_id;
    ELSE
        UPDATE job_log
           SET end_time = v_end,
               status = (SELECT alert_text FROM job_status_text WHERE alert_code = v_code)
         WHERE job_id = v_job_id
           AND end_time IS NULL;
        IF NOT FOUND THEN
            INSERT INTO past_run (key, job_id) VALUES (v_key, v_job_id);
            RETURN v_job_id;
        END IF;
        SELECT step_id INTO v_step_id FROM job_detail WHERE job_id = v_job_id ORDER BY step_id DESC LIMIT 1;
    END IF;
    IF v_step_id IS NULL THEN
        INSERT INTO job_detail (job_id, step_id, action, start_time)
             VALUES (v_job_id, link_next_id('job_detail', 'step_id'), v_run[6], v_start)
          RETURNING step_id INTO v_step_id;
    END IF;
    UPDATE job_detail
       SET end_time = greatest(v_end, start_time),
           elapsed_time = extract(epoch FROM greatest(v_end, start_time) - start_time),
           status = v_status,
           message = v_run[7]
     WHERE step_id = v_step_id
       AND end_time IS NULL;
    INSERT INTO past_run (key, job_id) VALUES (v_key, v_job_id);
    RETURN v_job_id;
END
$$;
COMMENT ON FUNCTION @schema@.link_add_past_run(text[]) IS 'Internal: the link''s side of add_past_run().';
