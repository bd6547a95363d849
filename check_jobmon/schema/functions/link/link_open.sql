-- Opens the session's link.
CREATE OR REPLACE FUNCTION @schema@.link_open(p_link text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_answer text;
    v_detail text;
BEGIN
    -- unless dblink_mapping leads to the primary, say
    IF pg_is_in_recovery() AND NOT EXISTS (SELECT FROM dblink_mapping AS m WHERE m.host IS NOT NULL) THEN
        RAISE EXCEPTION 'this server is a standby, and no job can be logged on it'
            USING ERRCODE = 'read_only_sql_transaction', HINT = 'Run the job on the primary; its log is replicated to here.';
    END IF;
    -- an assignment and not a PERFORM: an expression never reaches the executor, so no log of statements shows its values
    v_answer := @dblink@.dblink_connect(p_link, link_conninfo());
EXCEPTION
WHEN read_only_sql_transaction THEN
    RAISE;
WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
    RAISE EXCEPTION 'the job log''s link can''t connect%: %',
                    CASE WHEN EXISTS (SELECT FROM dblink_mapping) THEN ' as @schema_name@.dblink_mapping says' ELSE '' END,
                    btrim(coalesce(nullif(v_detail, ''), SQLERRM), E' \n')
        USING ERRCODE = 'sqlclient_unable_to_establish_sqlconnection',
              HINT = CASE WHEN EXISTS (SELECT FROM dblink_mapping)
                          THEN 'The row in @schema_name@.dblink_mapping says how it connects: correct it, or delete it to use '
                               'what "jobmonctl bootstrap" finds.'
                          ELSE 'Run "jobmonctl bootstrap", which finds a way or says what is missing.'
                     END;
END
$$;
COMMENT ON FUNCTION @schema@.link_open(text) IS 'Internal: opens the session''s link.';
