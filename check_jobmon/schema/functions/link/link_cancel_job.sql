-- The link's side of cancel_job(), for the run with job_id [5]: notes it in the last step and ends the run, in one transaction.
CREATE OR REPLACE FUNCTION @schema@.link_cancel_job(p_call text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_job_id  constant bigint := p_call[5];
    v_role    constant text := p_call[2];
    v_pid     integer := p_call[3];
    v_time    constant timestamptz := to_timestamp(p_call[4]::double precision);
    v_failed  text;
    v_run     job_log%ROWTYPE;
    v_writes  boolean;
    v_step_id bigint;
BEGIN
    SELECT * INTO v_run FROM job_log WHERE job_id = v_job_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no job with job_id %', v_job_id
            USING ERRCODE = 'no_data_found', HINT = 'show_running() lists the runs under way.';
    END IF;
    IF v_time < v_run.start_time THEN
        v_pid := 0; -- as in link_own_run()
    END IF;
    v_writes := may_write(v_run, v_role, v_pid);
    -- A role that may only cancel the backend adds the note to a run that has ended in the meantime, and changes nothing else.
    IF NOT (v_writes OR may_cancel(v_run, v_role, v_pid) AND coalesce(v_run.end_time > v_time - interval '1 minute', true)) THEN
        RAISE EXCEPTION 'job % is not yours to cancel: it belongs to role "%"', v_job_id, v_run.owner
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'The role that runs the job may cancel it, and so may members of that role, of @schema_name@_admin or of '
                         'pg_signal_backend, and superusers.';
    END IF;
    v_writes := v_writes OR v_run.end_time IS NULL;
    IF EXISTS (SELECT FROM cancelled_job WHERE job_id = v_job_id) THEN
        RETURN NULL;
    END IF;
    IF v_writes THEN
        UPDATE job_log
           SET end_time = greatest(v_time, start_time),
               -- read here, because the word may have been changed while this waited for a lock
               status = (SELECT alert_text FROM job_status_text WHERE alert_code = 3)
         WHERE job_id = v_job_id
     RETURNING status INTO v_failed;
    END IF;
    SELECT step_id INTO v_step_id FROM job_detail WHERE job_id = v_job_id ORDER BY step_id DESC LIMIT 1;
    IF NOT FOUND THEN
        INSERT INTO job_detail (job_id, step_id, action, start_time)
             VALUES (v_job_id, link_next_id('job_detail', 'step_id'), 'cancel_job', v_time)
          RETURNING step_id INTO v_step_id;
    END IF;
    UPDATE job_detail
       SET end_time = coalesce(end_time, greatest(v_time, start_time)),
           elapsed_time = extract(epoch FROM coalesce(end_time, greatest(v_time, start_time)) - start_time),
           status = CASE WHEN v_writes THEN v_failed ELSE status END,
           message = bounded_text(concat_ws('; ', 'cancelled by ' || v_role, message))
     WHERE step_id = v_step_id;
    INSERT INTO cancelled_job (job_id, step_id, cancelled_by, ended)
         VALUES (v_job_id, v_step_id, v_role, v_run.end_time IS NOT NULL);
    -- For the process that runs the job, if there is one. It then calls claim_job() to verify this, because any role may NOTIFY.
    PERFORM pg_notify('jobmon_cancel', v_job_id::text);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.link_cancel_job(text[]) IS 'Internal: the link''s side of cancel_job().';
