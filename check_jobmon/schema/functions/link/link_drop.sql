-- For job_log_clear(): drops the oldest partitions in which no run has to be kept, of those that begin at p_call[7] or later and end at
-- p_call[6] or earlier. Returns an array: the time at which the next call has to go on, and 'locked' if this call couldn't lock the log.
-- Returns NULL if there is nothing more to drop, or the log isn't partitioned.
-- p_call[5] is the run of job_log_clear(), and p_call[8] is its step. The step's message gets the names of the dropped partitions.
-- In the first call, p_call[7] is NULL. This call drops nothing: it makes the partitions that will be needed next.
-- Every logger waits for the lock that a DROP takes. So the function waits for the lock no longer than lock_timeout, and drops no more
-- partitions once it has had the lock for a fifth of a second. What would take longer is done before, without the lock: rows outside of
-- the partition that belong to its runs are deleted. The runs of a partition that is in use, or has a run that must be kept, are deleted
-- in batches by link_clear().
CREATE OR REPLACE FUNCTION @schema@.link_drop(p_call text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
-- an old partition may have no statistics
SET enable_seqscan = off
AS $$
DECLARE
    v_before  constant timestamptz := p_call[6];
    v_begun   timestamptz[];
    v_kept    bigint[];
    v_part    record;
    v_found   boolean;
    v_runs    bigint[];
    v_theirs  text;
    v_table   text;
    v_last    bigint;
    v_since   timestamptz;
    v_locked  timestamptz;
    v_ends    timestamptz;
    v_answer  text[];
BEGIN
    PERFORM link_clearing(p_call);
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = 'job_log'::regclass) <> 'p' THEN
        RETURN NULL;
    ELSIF p_call[7] IS NULL THEN
        PERFORM link_partition();
        RETURN ARRAY['-infinity'];
    END IF;
    -- a quarter of lock_timeout for each of the four tables, because lock_timeout applies to each lock
    PERFORM set_config('lock_timeout', (date_part('epoch', current_setting('lock_timeout')::interval) * 250)::integer::text, true);
    FOR v_part IN
        SELECT p.*, (SELECT c.relname FROM pg_class AS c WHERE c.oid = p.runs) AS name
          FROM partitions() AS p
         WHERE p.ends <= v_before
           AND p.begins >= p_call[7]::timestamptz
           AND p.steps IS NOT NULL
         ORDER BY p.begins
    LOOP
        EXIT WHEN clock_timestamp() > v_locked + interval '0.2 seconds';
        -- only if there is a partition, which the last call doesn't find any more
        IF v_kept IS NULL THEN
            SELECT coalesce(array_agg(k.job_id), '{}'), array_agg(k.start_time) INTO v_kept, v_begun
              FROM job_log_kept_before(v_before) AS k;
        END IF;
        CONTINUE WHEN EXISTS (SELECT FROM unnest(v_begun) AS k(begun) WHERE k.begun >= v_part.begins AND k.begun < v_part.ends);
        -- a step may have been logged before its run began, if a clock was set back, or after its end
        EXECUTE format('SELECT EXISTS (SELECT FROM %s AS d WHERE d.job_id = ANY ($1))', v_part.steps) INTO v_found USING v_kept;
        CONTINUE WHEN v_found;
        -- runs that crashed, or ended after the end of the partition, may have steps in later partitions
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
        v_theirs := format('t.job_id BETWEEN (SELECT min(l.job_id) FROM %1$s AS l) AND (SELECT max(l.job_id) FROM %1$s AS l)', v_part.runs);
        IF v_locked IS NOT NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM past_run AS t WHERE %1$s) OR EXISTS (SELECT FROM cancelled_job AS t WHERE %1$s)'
                           ' OR EXISTS (SELECT FROM job_lock AS t WHERE %1$s)', v_theirs) INTO v_found;
            EXIT WHEN v_found;
        END IF;
        v_theirs := v_theirs || format(' AND (SELECT true FROM %s AS l WHERE l.job_id = t.job_id)', v_part.runs);
        v_since := NULL;
        BEGIN
            v_last := (SELECT max(t.job_id) FROM past_run AS t);
            FOREACH v_table IN ARRAY CASE WHEN v_locked IS NULL THEN ARRAY['past_run', 'cancelled_job', 'job_lock'] ELSE '{}' END LOOP
                EXECUTE format('DELETE FROM %I AS t WHERE %s', v_table, v_theirs);
            END LOOP;
            LOCK TABLE ONLY job_detail, ONLY job_log IN ACCESS EXCLUSIVE MODE;
            v_since := clock_timestamp();
            EXECUTE format('LOCK TABLE %s, %s IN ACCESS EXCLUSIVE MODE%s', v_part.steps, v_part.runs,
                           CASE WHEN v_locked IS NOT NULL THEN ' NOWAIT' END);
            EXECUTE format($query$
                SELECT EXISTS (SELECT FROM %1$s AS l WHERE l.end_time IS NULL)
                       -- a run that has ended meanwhile
                       OR EXISTS (SELECT FROM %1$s AS l WHERE l.end_time >= $2)
                       -- a run that add_past_run() has logged meanwhile
                       OR EXISTS (SELECT FROM past_run AS t WHERE t.job_id > $3 AND %3$s)
                       -- steps of an earlier run that has been kept
                       OR EXISTS (SELECT FROM job_log AS l
                                   WHERE l.start_time < $1
                                     AND (l.end_time IS NULL OR l.end_time >= $1)
                                     AND EXISTS (SELECT FROM %2$s AS d WHERE d.job_id = l.job_id))
            $query$, v_part.runs, v_part.steps, v_theirs) INTO v_found USING v_part.begins, v_part.ends, coalesce(v_last, 0);
            IF v_found THEN
                -- rolls back this block, which releases its locks
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
                -- Loggers have waited meanwhile, so this call ends. If job_log and job_detail could be locked, only this partition is in
                -- use, and the next call leaves it out.
                IF v_since IS NULL THEN
                    v_answer := ARRAY['locked'];
                    v_ends := coalesce(v_ends, p_call[7]::timestamptz);
                ELSE
                    v_ends := v_part.ends;
                END IF;
                EXIT;
            WHEN SQLSTATE 'JM000' THEN
                v_ends := v_part.ends;
            WHEN dependent_objects_still_exist OR foreign_key_violation THEN
                v_ends := v_part.ends;
        END;
    END LOOP;
    IF v_ends IS NOT NULL THEN
        -- a text that means the same in any session, whatever its time zone and date style
        v_answer := CASE WHEN isfinite(v_ends) THEN to_char(v_ends AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00 BC')
                         ELSE v_ends::text END || coalesce(v_answer, '{}');
    END IF;
    RETURN v_answer;
END
$$;
COMMENT ON FUNCTION @schema@.link_drop(text[]) IS
    'Internal: drops old partitions for job_log_clear(), and makes those that will be needed next.';
