-- Runs a statement as a step: what sql_step() and sql_job() share. As the caller, and with the caller's search_path and settings:
-- the statement must see them. So nothing here may depend on them: every name and operator is qualified, a CASE has no operand,
-- there is no IN.
CREATE OR REPLACE FUNCTION @schema@.sql_run(p_job_id bigint, p_action text, p_sql text, p_whole_job boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
    v_session  pg_catalog.text := session_user::pg_catalog.text;
    v_role     pg_catalog.text := pg_catalog.current_setting('role');
    v_fraction pg_catalog.text := pg_catalog.current_setting('cursor_tuple_fraction');
    v_checks   boolean := false;
    v_held     boolean := false;
    v_cursor   pg_catalog.refcursor;
    v_step_id  bigint;
    v_rows     bigint;
    v_state    pg_catalog.text;
    v_message  pg_catalog.text;
    v_detail   pg_catalog.text;
    v_hint     pg_catalog.text;
BEGIN
    v_step_id := @schema@.add_step(p_job_id, p_action);
    -- Not where a SECURITY DEFINER function has called this: triggers that others have made wait for COMMIT, and would be run
    -- here with its owner's rights (before PostgreSQL 18).
    IF p_whole_job AND current_user OPERATOR(pg_catalog.=) (CASE WHEN v_role OPERATOR(pg_catalog.=) 'none' THEN v_session
                                                                 ELSE v_role END) THEN
        -- Nor where the transaction has something to mend already: that is no fault of this job's.
        BEGIN
            SET CONSTRAINTS ALL IMMEDIATE;
            v_checks := true;
            RAISE EXCEPTION USING ERRCODE = 'JM000';
        EXCEPTION WHEN OTHERS OR assert_failure THEN
            NULL;
        END;
    END IF;
    BEGIN
        -- EXECUTE keeps in memory all rows that a statement returns, and MOVE none. What can't have a cursor (statements that
        -- return no rows, and several at once) is refused before any of it is done.
        BEGIN
            -- the plan that EXECUTE would have
            PERFORM pg_catalog.set_config('cursor_tuple_fraction', '1', true);
            OPEN v_cursor NO SCROLL FOR EXECUTE p_sql;
            PERFORM pg_catalog.set_config('cursor_tuple_fraction', v_fraction, true);
        EXCEPTION WHEN OTHERS OR assert_failure THEN
            v_cursor := NULL;
        END;
        IF v_cursor IS NULL THEN
            EXECUTE p_sql;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
        ELSE
            MOVE FORWARD ALL FROM v_cursor;
            GET DIAGNOSTICS v_rows = ROW_COUNT;
            CLOSE v_cursor;
        END IF;
        -- Another role ends with its step, or it might not be allowed to log how it went. The caller's own may be one that was
        -- SET LOCAL, which can't be seen, and must not outlive the transaction.
        IF session_user::pg_catalog.text OPERATOR(pg_catalog.<>) v_session THEN
            PERFORM pg_catalog.set_config('session_authorization', v_session, false);
        END IF;
        IF pg_catalog.current_setting('role') OPERATOR(pg_catalog.<>) v_role THEN
            PERFORM pg_catalog.set_config('role', v_role, v_role OPERATOR(pg_catalog.<>) 'none');
        END IF;
        IF v_checks THEN
            -- What would fail at COMMIT, when the job is logged as successful. Rolled back, so that it is deferred as before.
            BEGIN
                SET CONSTRAINTS ALL IMMEDIATE;
                v_held := true;
                RAISE EXCEPTION USING ERRCODE = 'JM000';
            EXCEPTION WHEN SQLSTATE 'JM000' THEN
                IF NOT v_held THEN
                    RAISE;
                END IF;
            END;
        END IF;
        -- within the block, because what the statement has locked may keep the link from logging this
        PERFORM @schema@.update_step(v_step_id, @schema@.status_text(1), pg_catalog.format('Rows affected: %s', v_rows));
        RETURN true;
    EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
        GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT,
                                v_detail = PG_EXCEPTION_DETAIL, v_hint = PG_EXCEPTION_HINT;
        PERFORM @schema@.update_step(v_step_id, @schema@.status_text(3), pg_catalog.concat(
            'ERROR: ', v_message,
            CASE WHEN v_detail OPERATOR(pg_catalog.<>) '' THEN pg_catalog.concat(' DETAIL: ', v_detail) END,
            CASE WHEN v_hint OPERATOR(pg_catalog.<>) '' THEN pg_catalog.concat(' HINT: ', v_hint) END,
            ' [', v_state, ']'));
        IF v_state OPERATOR(pg_catalog.=) '57014' THEN
            -- query_canceled: the caller is to stop
            RAISE;
        END IF;
        RETURN false;
    END;
END
$$;
COMMENT ON FUNCTION @schema@.sql_run(bigint, text, text, boolean) IS
    'Internal: runs p_sql as a step. With p_whole_job what it leaves to be checked at COMMIT (deferred constraints) is checked.';
