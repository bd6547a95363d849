-- Sends one call to link_serve(), or with p_answer to link_answer(), on the session's link, signed and in the caller's name;
-- opens the link first if it isn't open. Returns the answer, or NULL without p_answer, which saves a query on either side; of
-- add_job and add_step the answer is the id, if it had to be another one than p_arguments[1].
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
        coalesce(nullif(pg_catalog.current_setting('role'), 'none'), session_user),
        pg_catalog.pg_backend_pid()::pg_catalog.text,
        (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000)::bigint::pg_catalog.text,
        coalesce(nullif(pg_catalog.current_setting('lock_timeout'), '0'), pg_catalog.current_setting('statement_timeout'))
    ] OPERATOR(pg_catalog.||) CASE WHEN pg_catalog.pg_column_size(p_arguments) OPERATOR(pg_catalog.<) 65536 THEN p_arguments
                                   ELSE @schema@.bounded_text(p_arguments) END;
    v_answer  pg_catalog.text;
    v_opened  boolean := false;
BEGIN
    IF p_answer THEN
        v_signed := pg_catalog.format('SELECT @schema@.link_answer(%L, %L)', v_signed, @signature@);
    ELSE
        v_signed := pg_catalog.format('CALL @schema@.link_serve(%L, %L)', v_signed, @signature@);
    END IF;
    LOOP
        IF v_link OPERATOR(pg_catalog.<>) ALL (@dblink@.dblink_get_connections()) IS NOT FALSE THEN
            PERFORM @schema@.link_open(v_link);
            v_opened := true;
        END IF;
        BEGIN
            IF p_answer THEN
                SELECT r.answer INTO v_answer FROM @dblink@.dblink(v_link, v_signed) AS r(answer pg_catalog.text);
                RETURN v_answer;
            END IF;
            v_answer := @dblink@.dblink_exec(v_link, v_signed);
            RETURN NULL;
        EXCEPTION
            WHEN connection_exception OR admin_shutdown OR crash_shutdown OR SQLSTATE '57P05' THEN
                -- 57P05: idle_session_timeout, a name that PostgreSQL 13 doesn't know
                IF v_opened THEN
                    RAISE;
                END IF;
                PERFORM @dblink@.dblink_disconnect(v_link);
            WHEN unique_violation THEN
                -- the id is another run's or step's: let the link's side find one that is not
                IF p_answer THEN
                    RAISE;
                END IF;
                RETURN @schema@.link_call(p_name, pg_catalog.array_prepend(NULL::pg_catalog.text, p_arguments[2:]), true);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @schema@.link_call(text, text[], boolean) IS
    'Internal: has a signed call executed over the session''s link, opening it if need be.';
