-- Sends one call over the session's link, signed and in the caller's name, to link_serve(), or with p_answer to link_answer().
-- Opens the link first if it isn't open. Returns the answer; without p_answer NULL, which saves a query on either side. For add_job
-- and add_step the answer is the id, if it could not be p_arguments[1].
-- Every call can safely be sent twice: if the link turns out to be dead, or is busy with a cancelled call, it is opened again and
-- the same call is sent again. The link's side recognizes the repetition by the call's time, which is the time logged.
-- While dblink waits for the link's answer, the caller can't be interrupted (before PostgreSQL 17), and PostgreSQL can't see a
-- deadlock of the two. So the link waits only a short time for a lock, and link_wait() does the rest.
-- If the log can't be written, link_failed() decides whether the job goes on without it.
-- Has no search_path of its own, because its callers have one: every name is qualified. Each part of an expression costs time in each
-- transaction, so there are few.
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
    -- PostgreSQL refuses this where a table's owner has others execute the owner's code, as an index's expression during ANALYZE. The
    -- caller isn't the session's user there.
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
            -- until the end of the transaction, link_close() closes it only for this job
            v_answer := pg_catalog.set_config('@schema_name@.link_opener', CASE WHEN p_name OPERATOR(pg_catalog.=) 'add_job'
                                                                                THEN p_arguments[1] END, true);
            v_new := true;
        END IF;
        BEGIN
            IF p_answer THEN
                -- No query contains the signed text, because debug_print_plan would show it to the caller. Results that an
                -- error has left behind are fetched first.
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
                -- a call that the caller has given up must not be executed later
                v_answer := @dblink@.dblink_cancel_query('@schema_name@_link');
                v_answer := @dblink@.dblink_disconnect('@schema_name@_link');
                RAISE;
            WHEN connection_exception OR admin_shutdown OR crash_shutdown OR SQLSTATE '57P05' THEN
                -- 57P05: idle_session_timeout, a name that PostgreSQL 13 doesn't know
                v_answer := @dblink@.dblink_disconnect('@schema_name@_link');
                IF v_new THEN
                    v_failed := @schema@.link_failed(p_name, SQLERRM);
                    EXIT WHEN v_failed;
                    RAISE;
                END IF;
                -- link_answer() sees whether it was executed
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
        -- the id of what isn't logged
        RETURN CASE WHEN p_name OPERATOR(pg_catalog.=) ANY (ARRAY['add_job', 'add_step']) THEN '0' END;
    END IF;
    IF v_taken THEN
        -- another run or step has the id: the link's side finds one that is free
        v_answer := @schema@.link_call(p_name, pg_catalog.array_prepend(NULL::pg_catalog.text, p_arguments[2:]), true);
    END IF;
    IF v_answer IS NOT NULL AND p_name OPERATOR(pg_catalog.=) 'add_job' AND v_new THEN
        PERFORM pg_catalog.set_config('@schema_name@.link_opener', v_answer, true);
    END IF;
    RETURN v_answer;
END
$$;
COMMENT ON FUNCTION @schema@.link_call(text, text[], boolean) IS
    'Internal: has a signed call executed over the session''s link, opening it if need be.';
