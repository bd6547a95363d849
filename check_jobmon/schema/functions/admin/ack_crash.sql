-- Ends a run that has crashed, so that it no longer alerts: at its last sign of life, because it was not at work any longer.
CREATE OR REPLACE FUNCTION @schema@.ack_crash(p_job_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_role    constant text := coalesce(nullif(current_setting('role'), 'none'), session_user);
    v_run     job_log%ROWTYPE;
    v_step_id bigint;
    v_end     timestamptz;
    v_failed  text;
BEGIN
    SELECT * INTO v_run FROM job_log WHERE job_id = p_job_id FOR NO KEY UPDATE;
    -- within a transaction, pg_stat_activity would go on showing what it showed first
    PERFORM pg_stat_clear_snapshot();
    IF v_run.job_id IS NULL OR v_run.end_time IS NOT NULL OR may_be_alive(v_run) THEN
        RETURN false;
    END IF;
    SELECT greatest(v_run.start_time, least(coalesce(max(greatest(d.start_time, d.end_time)), v_run.start_time), clock_timestamp())),
           max(d.step_id)
      INTO v_end, v_step_id
      FROM job_detail AS d
     WHERE d.job_id = p_job_id;
    UPDATE job_log
       SET end_time = v_end,
           -- read here, because the word may have been changed while this waited for a lock
           status = (SELECT alert_text FROM job_status_text WHERE alert_code = 3)
     WHERE job_id = p_job_id
 RETURNING status INTO v_failed;
    -- job_log's trigger has just added it
    DELETE FROM job_check_log WHERE job_id = p_job_id;
    IF v_step_id IS NULL THEN
        INSERT INTO job_detail (job_id, action, start_time) VALUES (p_job_id, 'ack', v_end) RETURNING step_id INTO v_step_id;
    END IF;
    UPDATE job_detail
       SET end_time = coalesce(end_time, v_end),
           elapsed_time = extract(epoch FROM coalesce(end_time, v_end) - start_time),
           status = v_failed,
           message = bounded_text(concat_ws('; ', 'crashed, acknowledged by ' || v_role, message))
     WHERE step_id = v_step_id;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @schema@.ack_crash(bigint) IS
    'Ends a run whose backend is gone as failed, at the time of its last step, without an alert. Returns whether it did: not if '
    'the run has ended, or its backend may be there.';
