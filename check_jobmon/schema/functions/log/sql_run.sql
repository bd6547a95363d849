-- Runs a statement as a step, for sql_step() and sql_job(), with the caller's rights, search_path and other settings, because the
-- statement needs them. So nothing in this function may depend on search_path: every name and operator is qualified, and the simple form
-- of CASE and IN, which look up an operator, are not used.
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
    -- Constraints are not checked if a SECURITY DEFINER function has called this: other roles' triggers may be deferred until COMMIT, and
    -- would be run here with the rights of that function's owner (before PostgreSQL 18).
    IF p_whole_job AND current_user OPERATOR(pg_catalog.=) (CASE WHEN v_role OPERATOR(pg_catalog.=) 'none' THEN v_session
                                                                 ELSE v_role END) THEN
        -- Nor if the transaction violates a deferred constraint already, which this job hasn't caused.
        BEGIN
            SET CONSTRAINTS ALL IMMEDIATE;
            v_checks := true;
            RAISE EXCEPTION USING ERRCODE = 'JM000';
        EXCEPTION WHEN OTHERS OR assert_failure THEN
            NULL;
        END;
    END IF;
    BEGIN
        -- EXECUTE keeps all rows that a statement returns in memory, MOVE keeps none. Where a cursor isn't possible (a statement
        -- that returns no rows, several statements), OPEN raises an error before anything is executed.
        BEGIN
            -- gives the plan that EXECUTE would use
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
        -- If the statement has set another role, the caller's role is set again, because the other one may not be allowed to log. It is
        -- set as by SET LOCAL: it can't be determined whether the caller has used that, and then the role must not outlive the transaction.
        IF session_user::pg_catalog.text OPERATOR(pg_catalog.<>) v_session THEN
            PERFORM pg_catalog.set_config('session_authorization', v_session, false);
        END IF;
        IF pg_catalog.current_setting('role') OPERATOR(pg_catalog.<>) v_role THEN
            PERFORM pg_catalog.set_config('role', v_role, v_role OPERATOR(pg_catalog.<>) 'none');
        END IF;
        IF v_checks THEN
            -- Raises now the errors that COMMIT would raise, which is after the job was logged as successful. The block is rolled back,
            -- so that the constraints are deferred as before.
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
        -- in this block, because it fails if the link has to wait for a lock that the statement has taken
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
        IF p_whole_job OR v_state OPERATOR(pg_catalog.=) '57014' THEN
            -- sql_job() decides whether its caller gets the error; after query_canceled (57014), the caller has to stop as well
            RAISE;
        END IF;
        RETURN false;
    END;
END
$$;
COMMENT ON FUNCTION @schema@.sql_run(bigint, text, text, boolean) IS
    'Internal: runs p_sql as a step and returns whether it succeeded. With p_whole_job, deferred constraints are checked at the end of '
    'the step, and an error is raised again after it has been logged.';
