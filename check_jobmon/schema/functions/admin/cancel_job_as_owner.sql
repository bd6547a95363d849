-- Cancels the backend of a run with the rights of the job log's owner, for roles that may administer the log.
CREATE OR REPLACE FUNCTION @schema@.cancel_job_as_owner(p_job_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_pid  constant integer := cancel_job_backend(p_job_id);
    v_sent boolean;
BEGIN
    -- The statement that cancels also verifies whose backend it is, because pids are reused.
    PERFORM pg_stat_clear_snapshot();
    BEGIN
        SELECT CASE WHEN NOT r.rolsuper OR EXISTS (SELECT FROM pg_roles AS s WHERE s.rolname = session_user AND s.rolsuper)
                    THEN pg_cancel_backend(a.pid)
               END
          INTO v_sent
          FROM job_log AS l
          JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
          JOIN pg_roles AS r ON r.oid = a.usesysid
         WHERE l.job_id = p_job_id AND l.end_time IS NULL AND l.pid = v_pid AND @schema/own_backend.sql@;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'job % can''t be cancelled by role "%", the owner of the job log: %', p_job_id, current_user, SQLERRM
            USING ERRCODE = 'insufficient_privilege', HINT = format('GRANT pg_signal_backend TO %I.', current_user);
    END;
    IF FOUND AND v_sent IS NULL THEN
        RAISE EXCEPTION 'job % can''t be cancelled: pid % is a superuser''s', p_job_id, v_pid
            USING ERRCODE = 'insufficient_privilege', HINT = 'Have a superuser cancel it.';
    END IF;
    RETURN coalesce(v_sent, false);
END
$$;
COMMENT ON FUNCTION @schema@.cancel_job_as_owner(bigint) IS
    'Internal: cancels the backend of a run with the owner''s rights, for a caller of cancel_job() who may administer the log. '
    'Only a superuser may cancel a superuser''s backend.';
