-- Cancels a run. If its backend runs the job, this is done by pg_cancel_backend() with the caller's own rights; if another process does,
-- cancel_job_note() notifies that process.
CREATE OR REPLACE FUNCTION @schema@.cancel_job(v_job_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_pid  integer := cancel_job_backend(v_job_id);
    v_sent boolean;
BEGIN
    BEGIN
        v_sent := v_pid IS NULL OR pg_cancel_backend(v_pid);
    EXCEPTION WHEN insufficient_privilege THEN
        IF NOT has_function_privilege('@schema@.cancel_job_as_owner(bigint)', 'EXECUTE') THEN
            RAISE EXCEPTION 'job % is not yours to cancel: %', v_job_id, SQLERRM
                USING ERRCODE = 'insufficient_privilege',
                      HINT = 'The role that runs the job may cancel it, and so may members of that role, of @schema_name@_admin or of '
                             'pg_signal_backend, and superusers.';
        END IF;
        v_sent := cancel_job_as_owner(v_job_id);
    END;
    IF NOT v_sent THEN
        RAISE EXCEPTION 'the backend of job %, pid %, ended before it could be cancelled', v_job_id, v_pid
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('If the run is still open, end it with fail_job(%s).', v_job_id);
    END IF;
    PERFORM cancel_job_note(v_job_id);
    RETURN true;
END
$$;
COMMENT ON FUNCTION @schema@.cancel_job(bigint) IS
    'Cancels the statement that the run''s backend is executing, notes in the run''s last step who cancelled it, and fails the '
    'run with level 3. If jobmonctl run or a Python program runs the job, it is notified instead: jobmonctl run ends its command, and the '
    'program gets an exception. The caller needs the right to cancel the backend, or to administer the log; to have a process notified, '
    'the right to write to the run is enough. A session can''t cancel its own run.';
