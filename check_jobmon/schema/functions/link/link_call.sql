-- Sends one call to link_serve(), or with p_answer to link_answer(), on the session's link, signed and in the caller's name;
-- opens the link first if it isn't open. Returns the answer, or NULL without p_answer, which saves a query on either side.
-- Every call is safe to send twice: a link that turns out to be dead, or in the middle of a cancelled call, is opened anew
-- and the same statement sent again. The time in it, which is the time that is logged, shows a repetition for what it is.
-- No search_path of its own: to set it at each call costs more than the rest, and every name here is qualified.
CREATE OR REPLACE FUNCTION @schema@.link_call(p_name text, p_arguments text[], p_answer boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_link    constant pg_catalog.text := '@schema_name@_link';
    v_signed  pg_catalog.text := ARRAY[
        p_name,
        CASE WHEN pg_catalog.current_setting('role') OPERATOR(pg_catalog.=) 'none' THEN session_user::pg_catalog.text
             ELSE pg_catalog.current_setting('role') END,
        -- negative where it is no backend of the server that the log is on: dblink_mapping leads from a standby to its primary
        (CASE WHEN pg_catalog.pg_is_in_recovery() THEN OPERATOR(pg_catalog.-) pg_catalog.pg_backend_pid()
              ELSE pg_catalog.pg_backend_pid() END)::pg_catalog.text,
        (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000)::bigint::pg_catalog.text,
        -- While dblink waits for the link's answer the caller can't be interrupted (before PostgreSQL 17), nor can a deadlock of
        -- the two be seen. So the link waits for a lock as long as this, and link_wait() does the rest.
        '300ms'
    ] OPERATOR(pg_catalog.||) CASE WHEN pg_catalog.pg_column_size(p_arguments) OPERATOR(pg_catalog.<) 65536 THEN p_arguments
                                   ELSE @schema@.bounded_text(p_arguments) END;
    v_answer  pg_catalog.text;
    v_new     boolean := false;
BEGIN
    v_signed := pg_catalog.format(CASE WHEN p_answer THEN 'SELECT @schema@.link_answer(%L, %L)'
                                       ELSE 'CALL @schema@.link_serve(%L, %L)' END, v_signed, @signature@);
    LOOP
        IF NOT v_link OPERATOR(pg_catalog.=) ANY (@dblink@.dblink_get_connections()) IS TRUE THEN
            PERFORM @schema@.link_open(v_link);
            -- until the end of the transaction; add_job() says which job it is for
            v_answer := pg_catalog.set_config('@schema_name@.link_opener', CASE WHEN p_name OPERATOR(pg_catalog.=) 'add_job'
                                                                                THEN 'new' ELSE '' END, true);
            v_new := true;
        END IF;
        BEGIN
            IF p_answer THEN
                SELECT r.answer INTO v_answer FROM @dblink@.dblink(v_link, v_signed) AS r(answer pg_catalog.text);
                RETURN v_answer;
            END IF;
            v_answer := @dblink@.dblink_exec(v_link, v_signed);
            RETURN NULL;
        EXCEPTION
            WHEN lock_not_available THEN
                EXIT;
            WHEN query_canceled THEN
                -- what the caller has given up must not happen
                v_answer := @dblink@.dblink_cancel_query(v_link);
                v_answer := @dblink@.dblink_disconnect(v_link);
                RAISE;
            WHEN connection_exception OR admin_shutdown OR crash_shutdown OR SQLSTATE '57P05' THEN
                -- 57P05: idle_session_timeout, a name that PostgreSQL 13 doesn't know
                v_answer := @dblink@.dblink_disconnect(v_link);
                IF v_new THEN
                    RAISE;
                END IF;
        END;
    END LOOP;
    RETURN @schema@.link_wait(v_link, v_signed, p_answer);
END
$$;
COMMENT ON FUNCTION @schema@.link_call(text, text[], boolean) IS
    'Internal: has a signed call executed over the session''s link, opening it if need be.';
