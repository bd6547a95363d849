-- Returns the pid for cancel_job() to cancel, once it has checked that this is still the run's backend: pids are reused. Returns NULL
-- if the run's work isn't in its backend.
CREATE OR REPLACE FUNCTION @schema@.cancel_job_backend(p_job_id bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_role   text := coalesce(nullif(current_setting('role'), 'none'), session_user);
    v_run    job_log%ROWTYPE;
    v_is_own boolean;
BEGIN
    IF p_job_id IS NULL THEN
        RAISE EXCEPTION 'cancel_job() needs a job_id, and this one is NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'show_running() lists the runs under way.';
    END IF;
    -- otherwise pg_stat_activity would show the same snapshot until the end of the transaction
    PERFORM pg_stat_clear_snapshot();
    SELECT * INTO v_run FROM job_log WHERE job_id = p_job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no job with job_id %', p_job_id
            USING ERRCODE = 'no_data_found', HINT = 'show_running() lists the runs under way.';
    ELSIF NOT may_cancel(v_run, v_role, pg_backend_pid()) THEN
        RAISE EXCEPTION 'job % is not yours to cancel: it belongs to role "%"', p_job_id, v_run.owner
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'The role that runs the job may cancel it, and so may members of that role, of @schema_name@_admin or of '
                         'pg_signal_backend, and superusers.';
    ELSIF v_run.end_time IS NOT NULL THEN
        RAISE EXCEPTION 'job % (%) is already over: it ended at % as %', p_job_id, v_run.job_name, v_run.end_time, v_run.status
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'show_running() lists the runs under way.';
    ELSIF v_run.pid = pg_backend_pid() THEN
        RAISE EXCEPTION 'job % (%) is run by this very session', p_job_id, v_run.job_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('cancel_job() is for another session''s run; end your own with fail_job(%s).', p_job_id);
    ELSIF v_run.pid < 0 THEN
        RAISE EXCEPTION 'job % (%) is run by another server or scheduler, by its pid %', p_job_id, v_run.job_name, -v_run.pid
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('Cancel that backend there (pg_cancel_backend); if it is gone, end the run with fail_job(%s).',
                                p_job_id);
    END IF;
    SELECT @schema/own_backend.sql@
      INTO v_is_own
      FROM (SELECT v_run.*) AS l
      JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database();
    IF FOUND AND v_is_own IS NULL THEN
        RAISE EXCEPTION 'can''t determine whether pid % is still the backend of job % (%)', v_run.pid, p_job_id, v_run.job_name
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('GRANT pg_read_all_stats TO %I, the owner of the job log.', current_user);
    ELSIF v_is_own IS NOT TRUE THEN
        RAISE EXCEPTION 'job % (%) has crashed: its backend, pid %, is gone', p_job_id, v_run.job_name, v_run.pid
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('Nothing is left to cancel; end the run with fail_job(%s).', p_job_id);
    END IF;
    -- if the link doesn't connect, this fails before the backend is cancelled
    PERFORM link_call('ping', '{}', true);
    -- verified again, because meanwhile the run may have ended, and its pid may have been reused
    PERFORM pg_stat_clear_snapshot();
    SELECT l.* INTO v_run
      FROM job_log AS l
      JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
     WHERE l.job_id = p_job_id AND l.end_time IS NULL AND @schema/own_backend.sql@;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % ended before it could be cancelled', p_job_id
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'show_running() lists the runs under way.';
    END IF;
    RETURN CASE WHEN v_run.client_pid IS NULL THEN v_run.pid END;
END
$$;
COMMENT ON FUNCTION @schema@.cancel_job_backend(bigint) IS
    'Internal: returns the pid of the backend that is running this job, or NULL if a process outside of the server is. Raises an '
    'error if the backend is gone or is this session''s own, or if the caller may not cancel it.';
