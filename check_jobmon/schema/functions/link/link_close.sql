-- Closes the session's link at the end of a job, unless jobmon.keep_link is on or another job of this transaction has opened the
-- link: when that job logs its end, there might be no connection slot left.
-- Has no search_path of its own, as link_call(): every name is qualified.
CREATE OR REPLACE FUNCTION @schema@.link_close(p_job_id bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF pg_catalog.lower(pg_catalog.current_setting('jobmon.keep_link', true))
       OPERATOR(pg_catalog.=) ANY (ARRAY['on', 'true', 'yes', '1']) THEN
        RETURN;
    END IF;
    IF pg_catalog.current_setting('@schema_name@.link_opener', true)
       OPERATOR(pg_catalog.<>) ALL (ARRAY['', p_job_id::pg_catalog.text]) THEN
        RETURN;
    END IF;
    IF '@schema_name@_link' OPERATOR(pg_catalog.=) ANY (@dblink@.dblink_get_connections()) THEN
        PERFORM @dblink@.dblink_disconnect('@schema_name@_link');
        PERFORM pg_catalog.set_config('@schema_name@.link_opener', '', true);
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.link_close(bigint) IS
    'Internal: closes the session''s link unless jobmon.keep_link is on or another job has opened it.';
