-- For job_log_clear(): drops the first partitions that begin at p_call[7] or later, end at p_call[6] or earlier, and have no run that
-- must be kept. Returns where the next call has to go on, or, if there is nothing more to drop or the log isn't partitioned, NULL.
-- p_call[5] is the run of job_log_clear() itself, p_call[8] its step, whose message names the dropped partitions. In its first call,
-- in which p_call[7] is NULL, the function makes the partitions to come instead, and drops none.
-- Every logger waits for the lock that a DROP takes. So the function waits for the lock no longer than lock_timeout, and drops no more
-- partitions once it has had the lock for a fifth of a second. What would take longer is deleted before, without the lock: rows outside of
-- the partition that belong to its runs. The runs of a partition that is in use, or has a run that must be kept, are deleted in batches
-- by link_clear().
CREATE OR REPLACE FUNCTION @schema@.link_drop(p_call text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_before  constant timestamptz := p_call[6];
    v_looked  timestamptz;
    v_kept    timestamptz[];
    v_part    record;
    v_runs    bigint[];
    v_theirs  text;
    v_table   text;
    v_keep    boolean;
    v_since   timestamptz;
    v_locked  timestamptz;
    v_ends    timestamptz;
BEGIN
    PERFORM link_clearing(p_call);
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = 'job_log'::regclass) <> 'p' THEN
        RETURN NULL;
    ELSIF p_call[7] IS NULL THEN
        PERFORM link_partition();
        RETURN '-infinity';
    END IF;
    -- a quarter for each of the four tables
    PERFORM set_config('lock_timeout', (date_part('epoch', current_setting('lock_timeout')::interval) * 250)::integer::text, true);
    FOR v_part IN
        SELECT p.*, p.runs::text AS name
          FROM partitions() AS p
         WHERE p.ends <= v_before
           AND p.begins >= p_call[7]::timestamptz
           AND p.steps IS NOT NULL
         ORDER BY p.begins
    LOOP
        EXIT WHEN clock_timestamp() > v_locked + interval '0.2 seconds';
        -- not in the last call, which finds no partition
        IF v_kept IS NULL THEN
            v_looked := clock_timestamp();
            v_kept := ARRAY(SELECT k.start_time FROM job_log_kept_before(v_before) AS k);
        END IF;
        CONTINUE WHEN EXISTS (SELECT FROM unnest(v_kept) AS k(begun) WHERE k.begun >= v_part.begins AND k.begun < v_part.ends);
        -- steps of these may be in later partitions: of the crashed runs, and of those that ended later
        EXECUTE format($query$
            SELECT ARRAY(SELECT l.job_id
                           FROM %s AS l
                          WHERE l.end_time >= $1
                             OR l.end_time IS NULL AND NOT may_be_alive(l::job_log)
                          LIMIT 1000
                            FOR UPDATE SKIP LOCKED)
        $query$, v_part.runs) INTO v_runs USING v_part.ends;
        IF v_runs <> '{}' THEN
            EXIT WHEN v_locked IS NOT NULL;
            CONTINUE WHEN link_delete(v_runs, p_call[8]::bigint) = 0;
            v_ends := v_part.begins;
            EXIT;
        END IF;
        v_theirs := format('t.job_id BETWEEN (SELECT min(l.job_id) FROM %1$s AS l) AND (SELECT max(l.job_id) FROM %1$s AS l)'
                           ' AND (SELECT true FROM %1$s AS l WHERE l.job_id = t.job_id)', v_part.runs);
        BEGIN
            IF v_locked IS NULL THEN
                FOREACH v_table IN ARRAY ARRAY['past_run', 'cancelled_job', 'job_lock'] LOOP
                    EXECUTE format('DELETE FROM %I AS t WHERE %s', v_table, v_theirs);
                END LOOP;
            END IF;
            -- in the order in which a logger locks them
            EXECUTE format('LOCK TABLE ONLY job_detail, %s, ONLY job_log, %s IN ACCESS EXCLUSIVE MODE%s', v_part.steps, v_part.runs,
                           CASE WHEN v_locked IS NOT NULL THEN ' NOWAIT' END);
            v_since := clock_timestamp();
            EXECUTE format($query$
                SELECT EXISTS (SELECT FROM %1$s AS l WHERE l.end_time IS NULL)
                       -- one that has just ended
                       OR EXISTS (SELECT FROM %1$s AS l WHERE l.end_time >= $2)
                       -- steps of an earlier run that has been kept
                       OR EXISTS (SELECT FROM job_log AS l
                                   WHERE l.start_time < $1
                                     AND (l.end_time IS NULL OR l.end_time >= $1)
                                     AND EXISTS (SELECT FROM %2$s AS d WHERE d.job_id = l.job_id))
                       OR EXISTS (SELECT FROM past_run AS t WHERE %3$s)
                       OR EXISTS (SELECT FROM cancelled_job AS t WHERE %3$s)
                       OR EXISTS (SELECT FROM job_lock AS t WHERE %3$s)
            $query$, v_part.runs, v_part.steps, v_theirs) INTO v_keep USING v_part.begins, v_looked;
            IF v_keep THEN
                -- undoes the block, and so gives the locks back
                RAISE EXCEPTION USING ERRCODE = 'JM000';
            END IF;
            EXECUTE format('DROP TABLE %s, %s', v_part.steps, v_part.runs);
            UPDATE job_detail
               SET message = concat(coalesce(message, 'runs deleted: 0'),
                                    CASE WHEN message ~ 'partitions' THEN ', ' ELSE '; partitions dropped: ' END, v_part.name)
             WHERE step_id = p_call[8]::bigint;
            v_locked := coalesce(v_locked, v_since);
            v_ends := v_part.ends;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                -- loggers have waited, too
                EXIT;
            WHEN SQLSTATE 'JM000' THEN
                -- Rows of other tables can only be deleted without the lock.
                EXIT WHEN v_locked IS NOT NULL;
                v_ends := v_part.ends;
            WHEN dependent_objects_still_exist OR foreign_key_violation THEN
                v_ends := v_part.ends;
        END;
    END LOOP;
    -- the same in any session, whatever its time zone and date style
    RETURN CASE WHEN isfinite(v_ends) THEN to_char(v_ends AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') ELSE v_ends::text END;
END
$$;
COMMENT ON FUNCTION @schema@.link_drop(text[]) IS
    'Internal: drops old partitions for job_log_clear(), and makes those of the times to come.';
