-- Ends a run that has crashed, so that it no longer alerts. Its end is the time of the last thing that it logged.
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
    -- otherwise pg_stat_activity would show the same snapshot until the end of the transaction
    PERFORM pg_stat_clear_snapshot();
    -- If the owner may not see when the backend began, or if the backend is on another server, the run may still be under way.
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
    -- the trigger of job_log has just added this failure
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
    'Marks a run that has crashed (its backend is gone) as failed, with the time of its last step as its end. It no longer alerts. '
    'Returns false if there is no such run, if it has ended already, or if its backend may still be running.';
