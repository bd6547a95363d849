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
    -- While the link waits for a lock the caller can't be interrupted: dblink waits for the link's answer. So the link
    -- waits no longer than the caller would.
    v_signed  pg_catalog.text := ARRAY[
        p_name,
        CASE WHEN pg_catalog.current_setting('role') OPERATOR(pg_catalog.=) 'none' THEN session_user::pg_catalog.text
             ELSE pg_catalog.current_setting('role') END,
        -- negative where it is no backend of the server that the log is on: dblink_mapping leads from a standby to its primary
        (CASE WHEN pg_catalog.pg_is_in_recovery() THEN OPERATOR(pg_catalog.-) pg_catalog.pg_backend_pid()
              ELSE pg_catalog.pg_backend_pid() END)::pg_catalog.text,
        (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000)::bigint::pg_catalog.text,
        CASE WHEN pg_catalog.current_setting('lock_timeout') OPERATOR(pg_catalog.=) '0'
             THEN pg_catalog.current_setting('statement_timeout') ELSE pg_catalog.current_setting('lock_timeout') END
    ] OPERATOR(pg_catalog.||) CASE WHEN pg_catalog.pg_column_size(p_arguments) OPERATOR(pg_catalog.<) 65536 THEN p_arguments
                                   ELSE @schema@.bounded_text(p_arguments) END;
    v_answer  pg_catalog.text;
BEGIN
    v_signed := pg_catalog.format(CASE WHEN p_answer THEN 'SELECT @schema@.link_answer(%L, %L)'
                                       ELSE 'CALL @schema@.link_serve(%L, %L)' END, v_signed, @signature@);
    IF v_link OPERATOR(pg_catalog.=) ANY (@dblink@.dblink_get_connections()) THEN
        BEGIN
            IF p_answer THEN
                SELECT r.answer INTO v_answer FROM @dblink@.dblink(v_link, v_signed) AS r(answer pg_catalog.text);
                RETURN v_answer;
            END IF;
            v_answer := @dblink@.dblink_exec(v_link, v_signed);
            RETURN NULL;
        EXCEPTION WHEN connection_exception OR admin_shutdown OR crash_shutdown OR SQLSTATE '57P05' THEN
            -- 57P05: idle_session_timeout, a name that PostgreSQL 13 doesn't know
            PERFORM @dblink@.dblink_disconnect(v_link);
        END;
    END IF;
    PERFORM @schema@.link_open(v_link);
    IF p_answer THEN
        SELECT r.answer INTO v_answer FROM @dblink@.dblink(v_link, v_signed) AS r(answer pg_catalog.text);
        RETURN v_answer;
    END IF;
    v_answer := @dblink@.dblink_exec(v_link, v_signed);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.link_call(text, text[], boolean) IS
    'Internal: has a signed call executed over the session''s link, opening it if need be.';
