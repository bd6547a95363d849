-- Closes the session's link at the end of a job, unless jobmon.keep_link says to keep it.
-- No search_path of its own, as in link_call(): every name is qualified.
CREATE OR REPLACE FUNCTION @schema@.link_close() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_link constant pg_catalog.text := '@schema_name@_link';
    v_keep constant pg_catalog.text := pg_catalog.lower(pg_catalog.current_setting('jobmon.keep_link', true));
BEGIN
    IF v_keep OPERATOR(pg_catalog.=) ANY (ARRAY['on', 'true', 'yes', '1']) THEN
        RETURN;
    END IF;
    IF v_link OPERATOR(pg_catalog.=) ANY (@dblink@.dblink_get_connections()) THEN
        PERFORM @dblink@.dblink_disconnect(v_link);
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.link_close() IS
    'Internal: closes the session''s link unless jobmon.keep_link is on.';
