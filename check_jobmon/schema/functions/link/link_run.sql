-- Runs one SELECT without a FROM on the session's link and returns its one value; opens the link first if it isn't open.
-- Where there is no value to return, link_call() does the same at less cost.
-- What callers pass is safe to run twice (they allocate ids before), because a link that turns out to be dead or in the
-- middle of a cancelled call is opened anew and the statement sent again.
-- No search_path of its own: to set it at each call costs more than the rest, and every name here is qualified.
CREATE OR REPLACE FUNCTION @schema@.link_run(p_sql text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    v_link    constant text := '@schema_name@_link';
    v_sql     text := p_sql;
    v_timeout text := pg_catalog.current_setting('lock_timeout');
    v_result  bigint;
BEGIN
    -- While the link waits for a lock the caller can't be interrupted: dblink waits for the link's answer. So the link
    -- waits no longer than the caller would.
    IF v_timeout OPERATOR(pg_catalog.=) '0' THEN
        v_timeout := pg_catalog.current_setting('statement_timeout');
    END IF;
    IF v_timeout OPERATOR(pg_catalog.<>) '0' THEN
        v_sql := pg_catalog.format('%s FROM pg_catalog.set_config(''lock_timeout'', %L, true)', p_sql, v_timeout);
    END IF;
    IF v_link OPERATOR(pg_catalog.=) ANY (@dblink@.dblink_get_connections()) THEN
        BEGIN
            SELECT r.result INTO v_result FROM @dblink@.dblink(v_link, v_sql) AS r(result bigint);
            RETURN v_result;
        EXCEPTION WHEN connection_exception OR admin_shutdown OR crash_shutdown OR SQLSTATE '57P05' THEN
            -- 57P05: idle_session_timeout, a name that PostgreSQL 13 doesn't know
            PERFORM @dblink@.dblink_disconnect(v_link);
        END;
    END IF;
    PERFORM @schema@.link_open(v_link);
    SELECT r.result INTO v_result FROM @dblink@.dblink(v_link, v_sql) AS r(result bigint);
    RETURN v_result;
END
$$;
COMMENT ON FUNCTION @schema@.link_run(text) IS 'Internal: runs a statement on the session''s link, opening it if need be.';
