-- Logs that the caller has cancelled a run.
CREATE OR REPLACE FUNCTION @schema@.cancel_job_note(p_job_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_role text := CASE current_setting('role') WHEN 'none' THEN session_user::text ELSE current_setting('role') END;
BEGIN
    PERFORM link_run(format('SELECT @schema@.link_cancel_job(%L, %L, %L)', p_job_id, v_role,
                            link_mac(format('cancel %s %L', p_job_id, v_role))));
    PERFORM link_close();
END
$$;
COMMENT ON FUNCTION @schema@.cancel_job_note(bigint) IS 'Internal: notes in the run''s last step that the caller cancelled it, and fails it.';
