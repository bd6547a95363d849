-- Runs a statement as a step. SECURITY INVOKER: see sql_run.sql.
CREATE OR REPLACE FUNCTION @schema@.sql_step(p_job_id bigint, p_action text, p_sql text) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
    -- without a check of deferred constraints: a later step may repair what this one has violated
    RETURN @schema@.sql_run(p_job_id, p_action, p_sql, false);
END
$$;
COMMENT ON FUNCTION @schema@.sql_step(bigint, text, text) IS
    'Runs p_sql with the caller''s rights as a step of the run, and logs the number of rows affected or the error. Returns whether '
    'it succeeded; if it failed, its changes are undone and the transaction can go on. The run stays open: end it with close_job() '
    'or fail_job().';
