-- Closes the session's link at the end of a job, unless jobmon.keep_link says to keep it, or another job of this transaction has
-- opened it: it may be that there is no connection slot left when that one wants to log its end.
-- No search_path of its own, as in link_call(): every name is qualified.
CREATE OR REPLACE FUNCTION @schema@.link_close(p_job_id bigint) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_link constant pg_catalog.text := '@schema_name@_link';
    v_opener constant pg_catalog.text := pg_catalog.current_setting('@schema_name@.link_opener', true);
    v_keep constant pg_catalog.text := pg_catalog.lower(pg_catalog.current_setting('jobmon.keep_link', true));
BEGIN
    IF v_keep OPERATOR(pg_catalog.=) ANY (ARRAY['on', 'true', 'yes', '1']) THEN
        RETURN;
    END IF;
    IF v_opener OPERATOR(pg_catalog.<>) '' AND v_opener OPERATOR(pg_catalog.<>) 'new'
       AND v_opener OPERATOR(pg_catalog.<>) p_job_id::pg_catalog.text THEN
        RETURN;
    END IF;
    IF v_link OPERATOR(pg_catalog.=) ANY (@dblink@.dblink_get_connections()) THEN
        PERFORM @dblink@.dblink_disconnect(v_link);
        PERFORM pg_catalog.set_config('@schema_name@.link_opener', '', true);
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.link_close(bigint) IS
    'Internal: closes the session''s link unless jobmon.keep_link is on or another job has opened it.';
