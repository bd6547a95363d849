-- Runs one CALL on the session's link; opens the link first if it isn't open. As link_run(), whose comments hold here too,
-- but nothing comes back, which saves a query on either side.
CREATE OR REPLACE FUNCTION @schema@.link_call(p_sql text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_link    constant text := '@schema_name@_link';
    v_sql     text := p_sql;
    v_timeout text := pg_catalog.current_setting('lock_timeout');
    v_answer  text;
BEGIN
    IF v_timeout OPERATOR(pg_catalog.=) '0' THEN
        v_timeout := pg_catalog.current_setting('statement_timeout');
    END IF;
    IF v_timeout OPERATOR(pg_catalog.<>) '0' THEN
        v_sql := pg_catalog.format('SET LOCAL lock_timeout = %L; %s', v_timeout, p_sql);
    END IF;
    IF v_link OPERATOR(pg_catalog.=) ANY (@dblink@.dblink_get_connections()) THEN
        BEGIN
            v_answer := @dblink@.dblink_exec(v_link, v_sql);
            RETURN;
        EXCEPTION WHEN connection_exception OR admin_shutdown OR crash_shutdown OR SQLSTATE '57P05' THEN
            PERFORM @dblink@.dblink_disconnect(v_link);
        END;
    END IF;
    PERFORM @schema@.link_open(v_link);
    v_answer := @dblink@.dblink_exec(v_link, v_sql);
END
$$;
COMMENT ON FUNCTION @schema@.link_call(text) IS 'Internal: runs a CALL on the session''s link, opening it if need be.';
