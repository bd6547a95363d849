-- Runs a statement as a step. As the caller, like sql_run() (see there).
CREATE OR REPLACE FUNCTION @schema@.sql_step(p_job_id bigint, p_action text, p_sql text) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
BEGIN
    -- deferred constraints are not checked: a later step may mend what this one has broken
    RETURN @schema@.sql_run(p_job_id, p_action, p_sql, false);
END
$$;
COMMENT ON FUNCTION @schema@.sql_step(bigint, text, text) IS
    'Runs p_sql with the caller''s rights as a step of the run, and logs the rows affected or the error. Returns whether it '
    'went well; if not, what it did is undone and the transaction can go on. The run stays open: close_job() or fail_job() it.';
