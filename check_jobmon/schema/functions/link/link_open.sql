-- Opens the session's link.
CREATE OR REPLACE FUNCTION @schema@.link_open(p_link text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_way     record;
    v_started timestamptz;
    v_answer  text;
    v_detail  text;
BEGIN
    IF pg_is_in_recovery() THEN
        -- unless dblink_mapping leads to another server, such as the primary
        IF NOT EXISTS (SELECT FROM dblink_mapping AS m WHERE m.host IS NOT NULL) THEN
            RAISE EXCEPTION 'this server is a standby, and no job can be logged on it'
                USING ERRCODE = 'read_only_sql_transaction', HINT = 'Run the job on the primary; its log is replicated to here.';
        END IF;
    END IF;
    v_way := link_conninfo();
    IF current_setting('server_version_num')::integer < 160000 THEN
        -- Whether libpq, which may be newer than the server, knows the option: if it does, its error names the wrong value.
        -- It connects in neither case.
        BEGIN
            v_answer := @dblink@.dblink_connect(p_link, 'password=x require_auth=nonesuch');
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
            IF position('nonesuch' IN v_detail) = 0 THEN
                v_way.p_conninfo := regexp_replace(v_way.p_conninfo, '^require_auth=''[^'']*''', '');
            END IF;
        END;
    END IF;
    v_started := clock_timestamp();
    -- an assignment rather than PERFORM: an expression doesn't reach the executor, so no log of statements shows its values
    v_answer := @dblink@.dblink_connect(p_link, v_way.p_conninfo);
    -- Another program could be listening at that address. If it is this server, the link's backend can be seen here, unless
    -- dblink_mapping names another server. The snapshot of other sessions that the transaction keeps is cleared first.
    IF pg_stat_clear_snapshot() IS NULL OR v_way.p_role_here IS NOT NULL AND NOT EXISTS (
            -- pg_stat_activity without its joins, which cost a session's first call more than everything else here
            SELECT
              FROM pg_stat_get_activity(NULL) AS a
             WHERE a.application_name = 'jobmon link of ' || pg_backend_pid()
               AND a.usesysid = to_regrole(quote_ident(v_way.p_role_here))
               -- NULL unless the owner is a member of pg_read_all_stats
               AND coalesce(a.backend_start >= v_started, true)) THEN
        v_answer := @dblink@.dblink_disconnect(p_link);
        RAISE EXCEPTION 'what answers there is not this server: the connection is not in pg_stat_activity'
            USING ERRCODE = 'sqlclient_unable_to_establish_sqlconnection';
    END IF;
    -- Whether link_close() has to close it though jobmon.keep_link isn't set (any more): the server won't end it (link_conninfo.sql, or
    -- bootstrap has not been run since an upgrade from PostgreSQL 13), or three quarters of the connections are in use. If the setting
    -- is rolled back, the link stays open for a while.
    v_answer := set_config(
        '@schema_name@.link_closes',
        CASE WHEN current_setting('jobmon.keep_link', true) <> ''
                  OR NOT EXISTS (SELECT
                                   FROM pg_db_role_setting AS s
                                  CROSS JOIN unnest(s.setconfig) AS c(entry)
                                  WHERE s.setdatabase = 0
                                    AND s.setrole = to_regrole(quote_ident(v_way.p_role_here))
                                    AND starts_with(c.entry, 'idle_session_timeout='))
                  OR (SELECT count(*) > 0.75 * current_setting('max_connections')::integer
                             OR count(*) FILTER (WHERE a.datid = d.oid) > 0.75 * nullif(d.datconnlimit, -1)
                        FROM pg_stat_get_activity(NULL) AS a
                       CROSS JOIN pg_database AS d
                       WHERE a.datid IS NOT NULL
                         AND d.datname = current_database()
                       GROUP BY d.oid, d.datconnlimit)
             THEN 'on' ELSE '' END,
        false);
EXCEPTION
WHEN read_only_sql_transaction OR lock_not_available THEN
    RAISE;
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
    RAISE EXCEPTION 'the job log''s link can''t connect%: %',
                    CASE WHEN EXISTS (SELECT FROM dblink_mapping) THEN ' as @schema_name@.dblink_mapping says' ELSE '' END,
                    btrim(coalesce(nullif(v_detail, ''), SQLERRM), E' \n')
        USING ERRCODE = 'sqlclient_unable_to_establish_sqlconnection',
              HINT = CASE WHEN v_detail ~ 'too many (clients|connections)|remaining connection slots'
                          THEN 'Raise the limit (max_connections, or ALTER DATABASE ... CONNECTION LIMIT), or see who holds '
                               'the connections in pg_stat_activity.'
                          WHEN EXISTS (SELECT FROM dblink_mapping)
                          THEN 'The row in @schema_name@.dblink_mapping says how it connects: correct it, or delete it to use '
                               'what "jobmonctl bootstrap" finds.'
                          ELSE 'Run "jobmonctl bootstrap", which finds a way or says what is missing.'
                     END;
END
$$;
COMMENT ON FUNCTION @schema@.link_open(text) IS 'Internal: opens the session''s link.';
