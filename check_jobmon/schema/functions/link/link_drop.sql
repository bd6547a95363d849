-- For job_log_clear(): drops the first partitions that begin at p_call[7] or later, end at p_call[6] or earlier, and have no run that
-- must be kept. Returns their names, which may be '', and the end of the last one that it has locked; if it has locked none, or the log
-- isn't partitioned, NULL.
-- p_call[5] is the run of job_log_clear() itself. In its first call p_call[7] is NULL: then it also makes the partitions to come.
-- Every logger waits for the lock that a DROP takes. So the function waits for the lock no longer than lock_timeout, and drops no more
-- partitions once it has had the lock for a fifth of a second. The runs of a partition that is in use, or has a run that must be kept,
-- are deleted in batches by link_clear().
CREATE OR REPLACE FUNCTION @schema@.link_drop(p_call text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_before  constant timestamptz := p_call[6];
    v_looked  timestamptz;
    v_kept    timestamptz[];
    v_part    record;
    v_keep    boolean;
    v_table   text;
    v_locked  timestamptz;
    v_names   text;
    v_ends    timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM job_log WHERE job_id = p_call[5]::bigint AND end_time IS NULL) THEN
        RAISE EXCEPTION 'job %, which was to delete old runs, is over', p_call[5]
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call job_log_clear() again.';
    ELSIF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = 'job_log'::regclass) <> 'p' THEN
        RETURN NULL;
    END IF;
    IF p_call[7] IS NULL THEN
        PERFORM link_partition();
    END IF;
    FOR v_part IN
        SELECT p.*, p.runs::text AS name
          FROM partitions() AS p
         WHERE p.ends <= v_before
           AND p.begins >= coalesce(p_call[7]::timestamptz, '-infinity')
           AND p.steps IS NOT NULL
         ORDER BY p.begins
    LOOP
        -- the partitions that it looks at and keeps count, too: the lock is held until the end of the transaction
        EXIT WHEN clock_timestamp() > v_locked + interval '0.2 seconds';
        -- not in the last call, which finds no partition
        IF v_kept IS NULL THEN
            v_looked := clock_timestamp();
            v_kept := ARRAY(SELECT k.start_time FROM job_log_kept_before(v_before) AS k);
        END IF;
        CONTINUE WHEN EXISTS (SELECT FROM unnest(v_kept) AS k(begun) WHERE k.begun >= v_part.begins AND k.begun < v_part.ends);
        BEGIN
            -- in the order in which a logger locks them
            EXECUTE format('LOCK TABLE ONLY job_detail, %s, ONLY job_log, %s IN ACCESS EXCLUSIVE MODE%s', v_part.steps, v_part.runs,
                           CASE WHEN v_locked IS NOT NULL THEN ' NOWAIT' END);
            v_locked := coalesce(v_locked, clock_timestamp());
            -- While this waited for the lock, somebody may have detached a partition. Then it isn't the log's any more.
            CONTINUE WHEN (SELECT count(*) FROM pg_inherits AS i
                            WHERE i.inhrelid = v_part.runs AND i.inhparent = 'job_log'::regclass
                               OR i.inhrelid = v_part.steps AND i.inhparent = 'job_detail'::regclass) < 2;
            v_ends := v_part.ends;
            EXECUTE format($query$
                SELECT EXISTS (SELECT FROM %1$s AS l WHERE l.end_time IS NULL AND may_be_alive(l::job_log))
                       -- one that has just ended
                       OR EXISTS (SELECT FROM %1$s AS l WHERE l.end_time >= $2)
                       -- steps of an earlier run that has been kept
                       OR EXISTS (SELECT FROM job_log AS l
                                   WHERE l.start_time < $1
                                     AND (l.end_time IS NULL OR l.end_time >= $1)
                                     AND EXISTS (SELECT FROM %2$s AS d WHERE d.job_id = l.job_id))
            $query$, v_part.runs, v_part.steps) INTO v_keep USING v_part.begins, v_looked;
            CONTINUE WHEN v_keep;
            -- their steps may be in later partitions, too; the trigger deletes them
            EXECUTE format('DELETE FROM %s WHERE end_time >= $1', v_part.runs) USING v_part.ends;
            EXECUTE format('DELETE FROM %s WHERE end_time IS NULL', v_part.runs);
            FOREACH v_table IN ARRAY ARRAY['past_run', 'cancelled_job', 'job_lock'] LOOP
                EXECUTE format('DELETE FROM %1$I AS t'
                               ' WHERE t.job_id BETWEEN (SELECT min(job_id) FROM %2$s) AND (SELECT max(job_id) FROM %2$s)'
                               '   AND (SELECT true FROM %2$s AS l WHERE l.job_id = t.job_id)', v_table, v_part.runs);
            END LOOP;
            EXECUTE format('DROP TABLE %s, %s', v_part.steps, v_part.runs);
            v_names := concat_ws(', ', v_names, v_part.name);
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                -- loggers have waited, too
                EXIT;
            WHEN dependent_objects_still_exist OR foreign_key_violation THEN
                NULL;
        END;
    END LOOP;
    IF v_ends IS NOT NULL THEN
        RETURN ARRAY[coalesce(v_names, ''), to_char(v_ends AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')];
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.link_drop(text[]) IS
    'Internal: drops old partitions for job_log_clear(), and makes those of the times to come.';
