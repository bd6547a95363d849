-- Copies the runs of a bridged scheduler into the log, each of them once: in one transaction with the mark up to which they are read.

-- Runs are read by number. One that is under way is logged when it has lasted for a minute, and is ended later; its pid is negative,
-- because its end becomes known up to a minute late, and meanwhile nobody is to take it for crashed. p_all: those of the last minute, too,
-- before a purge. Then jobs are not followed: whoever deletes runs could have another time zone, in which they would be due.
CREATE OR REPLACE FUNCTION @schema@.bridge_copy(p_name text, p_all boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
SET row_security = off
-- the planner takes each function for a thousand rows, and compiling for that takes longer than the whole work
SET jit = off
AS $$
DECLARE
    v_bridge bridge;
    v_known  record;
    v_table  text;
    v_key    bigint;
    v_start  timestamptz;
    v_open   bigint[];
    v_logged bigint;
    v_left   bigint;
BEGIN
    SELECT * INTO v_known FROM bridge_known() AS n WHERE n.name = p_name;
    PERFORM bridge_check(p_name, false);
    -- before the bridge's row: a TRUNCATE has these locks before its trigger waits for that row
    FOR v_table IN SELECT jsonb_object_keys(v_known.needs) LOOP
        EXECUTE format('LOCK TABLE %s IN ACCESS SHARE MODE', v_table);
    END LOOP;
    -- one at a time; also keeps the purge of one session and the copy of another in order
    SELECT * INTO v_bridge FROM bridge AS b WHERE b.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is not bridged in schema @schema_name@', left(p_name, 100)
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Run jobmonctl bridge.';
    END IF;
    -- of a partitioned table, only the partitions have a primary key
    IF EXISTS (SELECT FROM pg_class AS c
                WHERE (c.oid = 'job_log'::regclass OR c.oid IN (SELECT t.relid FROM pg_partition_tree('job_log') AS t))
                  AND c.relkind = 'r'
                  AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary)) THEN
        -- what is logged now could take the number of a run that is yet to be restored
        RAISE EXCEPTION 'table @schema_name@.job_log has no primary key yet: it is being restored'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Wait until it is restored.';
    END IF;
    IF NOT p_all THEN
        PERFORM bridge_follow(p_name);
        PERFORM bridge_triggers(p_name);
    END IF;

    EXECUTE format('SELECT r.%1$I, r.%2$I FROM %3$s AS r ORDER BY r.%1$I DESC LIMIT 1', v_known.run_key, v_known.run_start,
                   v_known.run_table)
       INTO v_key, v_start;
    IF v_start > v_bridge.looked
       AND (v_key <= v_bridge.mark
            OR EXISTS (SELECT FROM bridge_logged AS l WHERE l.bridge = p_name AND l.run_key = v_key AND l.job_id IS NULL)) THEN
        -- A run of this number had ended before this one started: the scheduler was installed again, or restored without its numbers,
        -- and counts anew. That the newest number is a smaller one proves nothing: who owns the newest runs may delete them.
        v_bridge.mark := 0;
        v_bridge.since := v_bridge.looked;
        DELETE FROM bridge_logged AS l WHERE l.bridge = p_name AND l.job_id IS NULL;
        UPDATE bridge_logged AS l SET run_key = -l.run_key WHERE l.bridge = p_name AND l.run_key > 0;
    END IF;
    -- runs that somebody has deleted from the log, or ended there
    UPDATE bridge_logged AS l
       SET job_id = NULL
     WHERE l.bridge = p_name
       AND l.job_id IS NOT NULL
       AND NOT EXISTS (SELECT FROM job_log AS j WHERE j.job_id = l.job_id AND j.end_time IS NULL);
    v_open := ARRAY(SELECT l.run_key FROM bridge_logged AS l WHERE l.bridge = p_name AND l.job_id IS NOT NULL);

    EXECUTE format($query$
        WITH run AS MATERIALIZED (
            SELECT r.run_key, r.job_key, r.owner, r.pid, r.code, r.steps, CASE WHEN isfinite(r.started) THEN r.started END AS started,
                   CASE WHEN isfinite(r.ended) THEN r.ended WHEN r.code IS NOT NULL THEN clock_timestamp() END AS ended,
                   l.run_key IS NOT NULL AS is_known, l.job_id, k.job_name,
                   (SELECT t.alert_text FROM job_status_text AS t WHERE t.alert_code = r.code) AS status
              FROM bridge_%s_runs($2, $3) AS r
              LEFT JOIN bridge_logged AS l ON l.bridge = $1 AND l.run_key = r.run_key
              LEFT JOIN bridge_job AS k ON k.bridge = $1 AND k.job_key = r.job_key
             WHERE r.job_key IS DISTINCT FROM $4
        ), fresh AS MATERIALIZED (
            SELECT link_next_id('job_log', 'job_id') AS new_id, r.*
              FROM (SELECT r.run_key, coalesce(r.job_name, upper(format('%%s job %%s', $1, r.job_key))) AS name, r.owner, r.pid, r.code,
                           r.status, coalesce(r.started, r.ended, clock_timestamp()) AS started, r.ended, r.steps
                      FROM run AS r
                     WHERE NOT r.is_known
                       AND coalesce(r.started, clock_timestamp()) > $5
                       AND (r.code IS NOT NULL OR r.started < $6 OR $7)
                     ORDER BY r.ended, r.run_key) AS r
        ), added AS (
            INSERT INTO job_log (job_id, owner, job_name, start_time, end_time, status, pid)
            SELECT f.new_id, coalesce(f.owner, 'unknown'), f.name, f.started, CASE WHEN f.code IS NOT NULL THEN greatest(f.ended, f.started) END,
                   f.status,
                   coalesce(CASE WHEN f.code IS NULL THEN -abs(f.pid) ELSE f.pid END, CASE WHEN f.code IS NULL THEN -1 ELSE 0 END)
              FROM fresh AS f
             ORDER BY f.ended, f.run_key
        ), ended AS (
            UPDATE job_log AS j
               SET end_time = greatest(r.ended, j.start_time), status = r.status, pid = coalesce(r.pid, 0)
              FROM run AS r
             WHERE r.job_id = j.job_id AND r.code IS NOT NULL AND j.end_time IS NULL
        ), vanished AS (
            SELECT l.run_key, l.job_id
              FROM bridge_logged AS l
             WHERE l.bridge = $1 AND l.job_id IS NOT NULL AND l.run_key NOT IN (SELECT r.run_key FROM run AS r)
        ), lost AS (
            UPDATE job_log AS j
               SET end_time = clock_timestamp(), pid = 0, status = (SELECT t.alert_text FROM job_status_text AS t WHERE t.alert_code = 2)
              FROM vanished AS v
             WHERE v.job_id = j.job_id AND j.end_time IS NULL
        ), step AS (
            INSERT INTO job_detail (job_id, step_id, action, start_time, end_time, elapsed_time, status, message)
            SELECT o.job_id, link_next_id('job_detail', 'step_id'), coalesce(s.action, ''), coalesce(s.started, o.started),
                   t.ended, CASE WHEN isfinite(t.ended) AND isfinite(s.started) THEN extract(epoch FROM t.ended - s.started) END,
                   (SELECT t.alert_text FROM job_status_text AS t WHERE t.alert_code = s.code), bounded_text(s.message)
              FROM (SELECT f.new_id, f.started, f.ended, f.run_key, f.steps FROM fresh AS f WHERE f.code IS NOT NULL
                     UNION ALL
                    SELECT r.job_id, r.started, r.ended, r.run_key, r.steps FROM run AS r WHERE r.job_id IS NOT NULL AND r.code IS NOT NULL
                     UNION ALL
                    SELECT v.job_id, clock_timestamp(), NULL, v.run_key,
                           jsonb_build_array(jsonb_build_object(
                               'action', 'end of the run', 'code', 2,
                               'message', format('not known: the run''s row was deleted from %%s while it was under way', $8)))
                      FROM vanished AS v
                   ) AS o(job_id, started, ended, run_key, steps)
             CROSS JOIN LATERAL ROWS FROM (
                    jsonb_to_recordset(o.steps) AS (action text, started timestamptz, ended timestamptz, code integer, message text)
                   ) WITH ORDINALITY AS s(action, started, ended, code, message, place)
             CROSS JOIN LATERAL (SELECT CASE WHEN s.ended IS NOT NULL THEN greatest(s.ended, s.started) END AS ended) AS t
             ORDER BY o.ended, o.run_key, s.place
        ), noted AS (
            INSERT INTO bridge_logged (bridge, run_key, job_id, seen)
            SELECT $1, n.run_key, n.job_id, clock_timestamp()
              FROM (SELECT f.run_key, CASE WHEN f.code IS NULL THEN f.new_id END FROM fresh AS f
                     UNION ALL
                    SELECT r.run_key, NULL FROM run AS r WHERE r.job_id IS NOT NULL AND r.code IS NOT NULL
                     UNION ALL
                    SELECT v.run_key, NULL FROM vanished AS v
                   ) AS n(run_key, job_id)
                ON CONFLICT (bridge, run_key) DO UPDATE SET job_id = excluded.job_id, seen = excluded.seen
        )
        SELECT (SELECT count(*) FROM fresh),
               -- those that are left for the next time
               (SELECT min(r.run_key) FROM run AS r WHERE NOT r.is_known AND r.run_key NOT IN (SELECT f.run_key FROM fresh AS f)
                                                      AND coalesce(r.started, clock_timestamp()) > $5)
    $query$, p_name)
      INTO v_logged, v_left
     USING p_name, v_bridge.mark, v_open, v_bridge.own_key, v_bridge.since, v_bridge.last_read, p_all, v_known.run_table;

    -- Numbers are given out in order, but a run with a smaller one may be seen a little later.
    SELECT max(l.run_key)
      INTO v_key
      FROM bridge_logged AS l
     WHERE l.bridge = p_name AND l.job_id IS NULL AND l.seen < now() - interval '2 minutes' AND l.run_key < coalesce(v_left, l.run_key + 1);
    v_bridge.mark := greatest(v_key, v_bridge.mark);
    DELETE FROM bridge_logged AS l WHERE l.bridge = p_name AND l.job_id IS NULL AND l.run_key <= v_bridge.mark;
    UPDATE bridge AS b
       SET mark = v_bridge.mark, since = v_bridge.since, looked = clock_timestamp(),
           last_read = CASE WHEN p_all THEN b.last_read ELSE now() END
     WHERE b.name = p_name;
    RETURN v_logged;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_copy(text, boolean) IS
    'Internal: follows the jobs of a bridged scheduler, unless it is called before a purge (p_all), logs its runs, and returns how many '
    'were new.';

CREATE OR REPLACE FUNCTION @schema@.bridge_run(p_name text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_started constant timestamptz := clock_timestamp();
    v_logged  constant bigint := bridge_copy(p_name, false);
BEGIN
    INSERT INTO job_log (job_id, owner, job_name, start_time, end_time, status, pid)
    SELECT link_next_id('job_log', 'job_id'), session_user, upper('@schema_name@ bridge ' || p_name), v_started, clock_timestamp(),
           t.alert_text, pg_backend_pid()
      FROM job_status_text AS t
     WHERE t.alert_code = 1;
    -- one each minute is of no interest for long
    DELETE FROM job_log AS l
     WHERE l.job_name = upper('@schema_name@ bridge ' || p_name)
       AND l.end_time < now() - interval '1 day';
    RETURN v_logged;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_run(text) IS
    'Copies the jobs and the new runs of a bridged scheduler into the log, and returns how many runs. A job of that scheduler, which '
    'jobmonctl bridge has made, calls it each minute. The call is itself a run in the log.';
