-- Sends a signed statement again and again until the link gets its locks, for as long as the caller's own timeouts allow.
-- PostgreSQL's deadlock detector can't see that this session waits for its link, so this looks for deadlocks itself: a chain of
-- sessions that wait for each other, from the link back to this session. A session with a link of its own may be waiting for it.
CREATE OR REPLACE FUNCTION @schema@.link_wait(p_link text, p_signed text, p_answer boolean) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_patience constant interval := current_setting('lock_timeout');
    v_since    constant timestamptz := clock_timestamp();
    v_sent     timestamptz;
    v_pause    double precision;
    v_cycles   integer := 0;
    v_blockers text;
    v_busy     boolean;
    v_answer   text;
BEGIN
    LOOP
        PERFORM FROM @dblink@.dblink_get_result(p_link, false) AS r(answer text);
        v_sent := clock_timestamp();
        v_pause := 0.01;
        v_busy := @dblink@.dblink_send_query(p_link, p_signed) = 1;
        WHILE @dblink@.dblink_is_busy(p_link) = 1 LOOP
            -- statement_timeout or a cancel request interrupts this at once
            PERFORM pg_sleep(v_pause), pg_stat_clear_snapshot();
            v_pause := least(2 * v_pause, 0.05);
            WITH RECURSIVE client AS MATERIALIZED (
                SELECT a.pid, substring(a.application_name FROM '^jobmon link of ([0-9]{1,9})$')::integer AS of
                  FROM pg_stat_get_activity(NULL) AS a
                 WHERE a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                   -- any role could use that application_name
                   AND has_function_privilege(a.usesysid, '@schema@.link_serve(text, bytea)', 'EXECUTE')
            ), waits (pid, for_pid) AS (
                SELECT pg_backend_pid(), c.pid FROM client AS c WHERE c.of = pg_backend_pid()
                 UNION
                SELECT w.for_pid, n.pid
                  FROM waits AS w
                 CROSS JOIN LATERAL (
                        SELECT unnest(pg_blocking_pids(w.for_pid))
                         UNION ALL
                        SELECT c.pid FROM client AS c WHERE c.of = w.for_pid
                       ) AS n(pid)
                 WHERE w.for_pid <> pg_backend_pid()
            )
            SELECT string_agg(format('process %s waits for %s', w.pid, w.for_pid), '; ') INTO v_blockers
              FROM waits AS w
            HAVING bool_or(w.for_pid = pg_backend_pid());
            -- Only a cycle that is found twice in a row is a deadlock: the sessions are not examined all at the same moment.
            v_cycles := CASE WHEN v_blockers IS NULL THEN 0 ELSE v_cycles + 1 END;
            IF v_cycles > 1 THEN
                RAISE EXCEPTION 'deadlock detected: the job log waits for a lock that this session holds itself'
                    USING ERRCODE = 'deadlock_detected', DETAIL = v_blockers || '.',
                          HINT = 'A transaction that has locked tables of @schema_name@ can''t log: commit first. If another '
                                 'session waits for everyone who uses such a table (VACUUM FULL, ALTER TABLE), call again.';
            ELSIF v_patience > '0' AND clock_timestamp() > v_since + v_patience THEN
                RAISE EXCEPTION 'canceling statement due to lock timeout: the job log waits for a lock'
                    USING ERRCODE = 'lock_not_available';
            END IF;
        END LOOP;
        BEGIN
            SELECT r.answer INTO v_answer FROM @dblink@.dblink_get_result(p_link) AS r(answer text);
            PERFORM FROM @dblink@.dblink_get_result(p_link) AS r(answer text);
            RETURN CASE WHEN p_answer THEN v_answer END;
        EXCEPTION WHEN lock_not_available THEN
            -- Raised too early for lock_timeout: by NOWAIT in a trigger that the site has added, for example.
            IF clock_timestamp() < v_sent + interval '50 ms' THEN
                RAISE;
            END IF;
            PERFORM FROM @dblink@.dblink_get_result(p_link, false) AS r(answer text);
        END;
    END LOOP;
EXCEPTION WHEN OTHERS OR query_canceled THEN
    -- the caller has given up this call, so the link must not execute it later
    v_answer := @dblink@.dblink_cancel_query(p_link);
    v_answer := @dblink@.dblink_disconnect(p_link);
    RAISE;
END
$$;
COMMENT ON FUNCTION @schema@.link_wait(text, text, boolean) IS
    'Internal: sends a signed call over the session''s link again and again, until the link gets the locks that it needs.';
