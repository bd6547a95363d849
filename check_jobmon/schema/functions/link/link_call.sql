-- Sends one call over the session's link, signed and in the caller's name, to link_serve(), or with p_answer to link_answer().
-- Opens the link first if it isn't open. Returns the answer; without p_answer NULL, which saves a query on either side. For add_job
-- and add_step, the answer is the id of the new row, if it is not p_arguments[1].
-- Every call can safely be sent twice: if the link turns out to be dead, or is busy with a cancelled call, it is opened again and
-- the same call is sent again. The link's side recognizes the repetition by the call's time, which is the time logged.
-- While dblink waits for the link's answer, the caller can't be interrupted (before PostgreSQL 17), and PostgreSQL can't detect a
-- deadlock between the caller and its link. So the link waits only a short time for a lock, and link_wait() does the rest.
-- If the log can't be written, link_failed() decides whether the job goes on without it.
-- The function doesn't set search_path, because its callers do; every name is qualified all the same.
-- Expressions are few and short, because PostgreSQL prepares them again in each transaction.
CREATE OR REPLACE FUNCTION @schema@.link_call(p_name text, p_arguments text[], p_answer boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_signed  pg_catalog.text := ARRAY[
        p_name,
        coalesce(nullif(pg_catalog.current_setting('role'), 'none'), session_user),
        pg_catalog.pg_backend_pid()::pg_catalog.text,
        extract(epoch FROM pg_catalog.clock_timestamp())::numeric::pg_catalog.text
    ] OPERATOR(pg_catalog.||) CASE WHEN pg_catalog.pg_column_size(p_arguments) OPERATOR(pg_catalog.<) 65536 THEN p_arguments
                                   ELSE @schema@.bounded_text(p_arguments) END;
    v_send    pg_catalog.text;
    v_answer  pg_catalog.text;
    v_new     boolean;
    v_waits   boolean;
    v_taken   boolean;
    v_failed  boolean;
BEGIN
    -- PostgreSQL refuses UNLISTEN in a security-restricted operation, such as ANALYZE, which evaluates the expressions of an index as the
    -- table's owner. There, the owner's code could otherwise log in the name of the session's user.
    UNLISTEN "@schema_name@ nothing";
    IF p_answer THEN
        v_send := pg_catalog.format('SELECT @schema@.link_answer(%L, %L)', v_signed, @schema/signature.sql@);
    ELSE
        v_send := pg_catalog.format('CALL @schema@.link_serve(%L, %L)', v_signed, @schema/signature.sql@);
    END IF;
    LOOP
        IF '@schema_name@_link' OPERATOR(pg_catalog.<>) ALL (@dblink@.dblink_get_connections()) IS NOT FALSE THEN
            BEGIN
                PERFORM @schema@.link_open('@schema_name@_link');
            EXCEPTION WHEN OTHERS THEN
                v_failed := @schema@.link_failed(p_name, SQLERRM);
                EXIT WHEN v_failed;
                RAISE;
            END;
            v_answer := pg_catalog.set_config('@schema_name@.link_failed', '', false);
            -- until the end of the transaction, link_close() closes the link only at the end of this job
            v_answer := pg_catalog.set_config('@schema_name@.link_opener', CASE WHEN p_name OPERATOR(pg_catalog.=) 'add_job'
                                                                                THEN p_arguments[1] END, true);
            v_new := true;
        END IF;
        BEGIN
            IF p_answer THEN
                -- The signed text is not part of any query that is planned here, because debug_print_plan would show it to the caller.
                -- First, any results that an earlier error has left unread are fetched.
                PERFORM FROM @dblink@.dblink_get_result('@schema_name@_link', false) AS r(answer pg_catalog.text);
                v_answer := @dblink@.dblink_send_query('@schema_name@_link', v_send);
                SELECT r.answer INTO v_answer
                  FROM @dblink@.dblink_get_result('@schema_name@_link') AS r(answer pg_catalog.text);
                PERFORM FROM @dblink@.dblink_get_result('@schema_name@_link') AS r(answer pg_catalog.text);
                EXIT;
            END IF;
            v_answer := @dblink@.dblink_exec('@schema_name@_link', v_send);
            RETURN NULL;
        EXCEPTION
            WHEN lock_not_available THEN
                v_waits := true;
                EXIT;
            WHEN unique_violation THEN
                IF p_arguments[1] IS NULL OR p_name OPERATOR(pg_catalog.<>) ALL (ARRAY['add_job', 'add_step']) THEN
                    RAISE;
                END IF;
                v_taken := true;
                EXIT;
            WHEN query_canceled THEN
                -- the caller has given up this call, so the link must not execute it later
                v_answer := @dblink@.dblink_cancel_query('@schema_name@_link');
                v_answer := @dblink@.dblink_disconnect('@schema_name@_link');
                RAISE;
            WHEN connection_exception OR admin_shutdown OR crash_shutdown OR SQLSTATE '57P05' THEN
                -- 57P05 is idle_session_timeout, a condition name that PostgreSQL 13 doesn't know
                v_answer := @dblink@.dblink_disconnect('@schema_name@_link');
                IF v_new THEN
                    v_failed := @schema@.link_failed(p_name, SQLERRM);
                    EXIT WHEN v_failed;
                    RAISE;
                END IF;
                -- link_answer() finds out whether the call has been executed already
                v_send := pg_catalog.format('SELECT @schema@.link_answer(%L, %L)', v_signed, @schema/signature.sql@);
                p_answer := true;
            WHEN insufficient_resources OR read_only_sql_transaction OR deadlock_detected OR system_error OR internal_error THEN
                v_failed := @schema@.link_failed(p_name, SQLERRM);
                EXIT WHEN v_failed;
                RAISE;
        END;
    END LOOP;
    IF v_waits THEN
        BEGIN
            v_answer := @schema@.link_wait('@schema_name@_link', v_send, p_answer);
        EXCEPTION
            WHEN unique_violation THEN
                IF p_arguments[1] IS NULL OR p_name OPERATOR(pg_catalog.<>) ALL (ARRAY['add_job', 'add_step']) THEN
                    RAISE;
                END IF;
                v_taken := true;
            WHEN lock_not_available OR connection_exception OR admin_shutdown OR crash_shutdown
                 OR insufficient_resources OR read_only_sql_transaction OR deadlock_detected OR system_error OR internal_error THEN
                v_failed := @schema@.link_failed(p_name, SQLERRM);
                IF NOT v_failed THEN
                    RAISE;
                END IF;
        END;
    END IF;
    IF v_failed THEN
        -- 0 is the id of a run or step that isn't logged
        RETURN CASE WHEN p_name OPERATOR(pg_catalog.=) ANY (ARRAY['add_job', 'add_step']) THEN '0' END;
    END IF;
    IF v_taken THEN
        -- another run or step has the id already: let the link's side find one that is free
        v_answer := @schema@.link_call(p_name, pg_catalog.array_prepend(NULL::pg_catalog.text, p_arguments[2:]), true);
    END IF;
    IF v_answer IS NOT NULL AND p_name OPERATOR(pg_catalog.=) 'add_job' AND v_new THEN
        PERFORM pg_catalog.set_config('@schema_name@.link_opener', v_answer, true);
    END IF;
    RETURN v_answer;
END
$$;
COMMENT ON FUNCTION @schema@.link_call(text, text[], boolean) IS
    'Internal: signs a call, and sends it over the session''s link, which is opened if it isn''t open.';
