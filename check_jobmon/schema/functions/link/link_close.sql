-- Closes the session's link at the end of a job, unless jobmon.keep_link says to keep it.
CREATE OR REPLACE FUNCTION @schema@.link_close() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_link constant text := '@schema_name@_link';
BEGIN
    IF lower(coalesce(current_setting('jobmon.keep_link', true), '')) IN ('on', 'true', 'yes', '1') THEN
        RETURN;
    END IF;
    IF v_link = ANY (@dblink@.dblink_get_connections()) THEN
        PERFORM @dblink@.dblink_disconnect(v_link);
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.link_close() IS
    'Internal: closes the session''s link unless jobmon.keep_link is on.';
