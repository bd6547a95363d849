-- Cancels the backend of a run with the right of the job log's owner, for those who may administer the log.
CREATE OR REPLACE FUNCTION @schema@.cancel_job_as_owner(p_job_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_pid constant integer := cancel_job_backend(p_job_id);
BEGIN
    IF EXISTS (SELECT FROM pg_stat_activity AS a JOIN pg_roles AS r ON r.oid = a.usesysid WHERE a.pid = v_pid AND r.rolsuper)
       AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = session_user AND r.rolsuper) THEN
        RAISE EXCEPTION 'pid % is a superuser''s', v_pid USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN pg_cancel_backend(v_pid);
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION '%', SQLERRM
        USING ERRCODE = 'insufficient_privilege',
              HINT = format('Role "%s", the owner of the job log, may not cancel that backend either: GRANT pg_signal_backend TO %1$I.',
                            current_user);
END
$$;
COMMENT ON FUNCTION @schema@.cancel_job_as_owner(bigint) IS
    'Internal: cancels the backend of a run for cancel_job(), whose caller may not. Not a superuser''s backend.';
