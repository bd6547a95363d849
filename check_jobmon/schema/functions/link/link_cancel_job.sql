-- The link's side of cancel_job(): the note in the last step, and the end of the run, in one transaction.
CREATE OR REPLACE FUNCTION @schema@.link_cancel_job(p_job_id bigint, p_role text, p_pid integer, p_time timestamptz) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_failed  constant text := (SELECT alert_text FROM job_status_text WHERE alert_code = 3);
    v_run     job_log%ROWTYPE;
    v_writes  boolean;
    v_step_id bigint;
BEGIN
    SELECT * INTO v_run FROM job_log WHERE job_id = p_job_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no job with job_id %', p_job_id
            USING ERRCODE = 'no_data_found', HINT = 'show_running() lists the runs under way.';
    END IF;
    v_writes := may_write(v_run, p_role, p_pid);
    -- Who may cancel the backend and no more adds the note to a run that has ended in the meantime, and changes nothing else.
    IF NOT (v_writes OR may_cancel(v_run, p_role, p_pid) AND coalesce(v_run.end_time > p_time - interval '1 minute', true)) THEN
        RAISE EXCEPTION 'job % is not yours to cancel: it belongs to role "%"', p_job_id, v_run.owner
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'It takes the role that runs the job, a member of it or of pg_signal_backend, or a superuser.';
    END IF;
    v_writes := v_writes OR v_run.end_time IS NULL;
    IF EXISTS (SELECT FROM cancelled_job WHERE job_id = p_job_id) THEN
        RETURN NULL;
    END IF;
    IF v_writes THEN
        UPDATE job_log SET end_time = greatest(p_time, start_time), status = v_failed WHERE job_id = p_job_id;
    END IF;
    SELECT step_id INTO v_step_id FROM job_detail WHERE job_id = p_job_id ORDER BY step_id DESC LIMIT 1;
    IF NOT FOUND THEN
        INSERT INTO job_detail (job_id, action, start_time) VALUES (p_job_id, 'cancel_job', p_time)
          RETURNING step_id INTO v_step_id;
    END IF;
    UPDATE job_detail
       SET end_time = coalesce(end_time, greatest(p_time, start_time)),
           elapsed_time = extract(epoch FROM coalesce(end_time, greatest(p_time, start_time)) - start_time),
           status = CASE WHEN v_writes THEN v_failed ELSE status END,
           message = bounded_text(concat_ws('; ', 'cancelled by ' || p_role, message))
     WHERE step_id = v_step_id;
    INSERT INTO cancelled_job (job_id, step_id, cancelled_by, ended)
         VALUES (p_job_id, v_step_id, p_role, v_run.end_time IS NOT NULL);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.link_cancel_job(bigint, text, integer, timestamptz) IS 'Internal: the link''s side of cancel_job().';
