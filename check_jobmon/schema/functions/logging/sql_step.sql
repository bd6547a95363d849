-- Runs a statement as a step. As the caller, and with the caller's search_path and settings: the statement must see them.
-- So nothing here may depend on them: every name and operator is qualified, a CASE has no operand, there is no IN.
CREATE OR REPLACE FUNCTION @schema@.sql_step(p_job_id bigint, p_action text, p_sql text) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
    v_role     pg_catalog.text := pg_catalog.current_setting('role');
    v_step_id  bigint;
    v_rows     bigint;
    v_state    pg_catalog.text;
    v_message  pg_catalog.text;
BEGIN
    v_step_id := @schema@.add_step(p_job_id, p_action);
    BEGIN
        EXECUTE p_sql;
        GET DIAGNOSTICS v_rows = ROW_COUNT;
        IF pg_catalog.current_setting('role') OPERATOR(pg_catalog.<>) v_role THEN
            -- a SET ROLE ends with its step, or the new role might not be allowed to log how it went
            PERFORM pg_catalog.set_config('role', v_role, false);
        END IF;
    EXCEPTION
        WHEN query_canceled THEN
            GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
            PERFORM @schema@.update_step(v_step_id, @schema@.status_text(3),
                                         pg_catalog.format('%s [%s]', v_message, v_state));
            RAISE;
        WHEN OTHERS OR assert_failure THEN
            GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
    END;
    IF v_state IS NOT NULL THEN
        PERFORM @schema@.update_step(v_step_id, @schema@.status_text(3),
                                     pg_catalog.format('%s [%s]', v_message, v_state));
        RETURN false;
    END IF;
    PERFORM @schema@.update_step(v_step_id, @schema@.status_text(1), pg_catalog.format('rows affected: %s', v_rows));
    RETURN true;
END
$$;
COMMENT ON FUNCTION @schema@.sql_step(bigint, text, text) IS
    'Runs p_sql with the caller''s rights as a step of the run, and logs the rows affected or the error. Returns whether it '
    'went well; if not, what it did is undone and the transaction can go on. The run stays open: close_job() or fail_job() it.';
