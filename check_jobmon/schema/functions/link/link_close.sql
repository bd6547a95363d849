-- Called at the end of a job. By default, the session's link stays open then: opening one costs more than all other parts of a run
-- together. The server ends it once it hasn't been used for a while (idle_session_timeout in link_settings.sql), and link_call() opens
-- another one when it is needed. The link is closed here
-- - if jobmon.keep_link is off,
-- - if the server wouldn't end it: on PostgreSQL 13, if dblink_mapping has a row, or if link_open() has found that,
-- - if link_open() has found that connections are scarce;
-- but not if another job of this transaction has opened it: when that job logs its end, there might be no connection slot left.
-- As link_call(), the function doesn't set search_path, and qualifies every name.
CREATE OR REPLACE FUNCTION @schema@.link_close(p_job_id bigint) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    v_keep pg_catalog.text := pg_catalog.lower(pg_catalog.current_setting('jobmon.keep_link', true));
BEGIN
    IF v_keep OPERATOR(pg_catalog.=) ANY (ARRAY['on', 'true', 'yes', '1']) THEN
        RETURN;
    ELSIF coalesce(v_keep, '') OPERATOR(pg_catalog.=) ''
          -- NULL if the link was opened by link_open() of an older version
          AND pg_catalog.current_setting('@schema_name@.link_closes', true) OPERATOR(pg_catalog.=) ''
          AND pg_catalog.current_setting('idle_session_timeout', true) IS NOT NULL
          AND NOT EXISTS (SELECT FROM @schema@.dblink_mapping) THEN
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
    'Internal: closes the session''s link at the end of a job, if jobmon.keep_link is off, if the server wouldn''t end it, or if '
    'connections are scarce.';
