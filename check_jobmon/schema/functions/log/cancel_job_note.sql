-- Logs that the caller has cancelled a run.
CREATE OR REPLACE FUNCTION @schema@.cancel_job_note(p_job_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    PERFORM link_call('cancel_job', ARRAY[p_job_id::text], true);
    PERFORM link_close(0);
END
$$;
COMMENT ON FUNCTION @schema@.cancel_job_note(bigint) IS
    'Internal: notes in the run''s last step that the caller has cancelled the run, and fails the run.';
