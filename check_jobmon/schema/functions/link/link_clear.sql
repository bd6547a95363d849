-- The link's side of job_log_clear(): deletes a batch of the runs after job_id [7] (NULL for the first batch) that started before
-- [6]. [5] is the run of job_log_clear() itself, [8] its step, whose message always has the number of runs deleted so far, even if
-- this call's answer is lost. Returns the batch's last job_id, how many runs it looked at, how many have been deleted in all, and
-- whether there may be more (1, else 0): to find that there are none, the rest of the log is read.
-- Never waits for a logger: rows that are being written are left for the next time.
CREATE OR REPLACE FUNCTION @schema@.link_clear(p_call text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_batch   constant integer := 1000;
    v_after   constant bigint := coalesce(p_call[7]::bigint, (SELECT min(job_id) - 1 FROM job_log));
    v_upto    bigint;
    v_found   bigint;
    v_runs    bigint[];
    v_in_use  bigint[];
    v_deleted bigint := 0;
    v_total   bigint;
    v_job_id  bigint;
BEGIN
    -- what else was done in this transaction could have deferred triggers, which SET CONSTRAINTS would run as the owner
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'somebody has begun a transaction on the job log''s link'
            USING ERRCODE = 'invalid_transaction_state', HINT = 'Close the link with dblink_disconnect(), and call again.';
    END IF;
    -- locked, so that job_log_clear() can wait for the end of this batch before it reads the number
    SELECT coalesce(substring(message FROM '[0-9]+$')::bigint, 0) INTO v_total
      FROM job_detail WHERE step_id = p_call[8]::bigint FOR UPDATE;
    IF NOT EXISTS (SELECT FROM job_log WHERE job_id = p_call[5]::bigint AND end_time IS NULL) THEN
        RAISE EXCEPTION 'job %, which was to delete old runs, is over', p_call[5]
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call job_log_clear() again.';
    END IF;
    SELECT max(o.job_id), count(*)
      INTO v_upto, v_found
      FROM (SELECT l.job_id
              FROM job_log AS l
             WHERE l.job_id > v_after
               AND l.start_time < p_call[6]::timestamptz
             ORDER BY l.job_id
             LIMIT v_batch) AS o;
    v_runs := ARRAY(
        SELECT l.job_id
          FROM job_log AS l
         WHERE l.job_id > v_after
           AND l.job_id <= v_upto
           AND l.start_time < p_call[6]::timestamptz
           AND (l.end_time IS NOT NULL OR NOT may_be_alive(l))
         ORDER BY l.job_id
           FOR UPDATE SKIP LOCKED
    );
    v_runs := ARRAY(SELECT unnest(v_runs) EXCEPT SELECT k.job_id FROM job_log_kept_before(p_call[6]::timestamptz) AS k);
    WITH step AS MATERIALIZED (
        SELECT d.step_id
          FROM job_detail AS d
         WHERE d.job_id = ANY (v_runs)
           FOR UPDATE SKIP LOCKED
    )
    SELECT array_agg(DISTINCT d.job_id) INTO v_in_use
      FROM job_detail AS d
      LEFT JOIN step AS s ON s.step_id = d.step_id
     WHERE d.job_id = ANY (v_runs)
       AND s.step_id IS NULL;
    v_runs := ARRAY(SELECT unnest(v_runs) EXCEPT SELECT unnest(v_in_use));
    -- a site's own foreign key, to runs or to steps, keeps the rows it refers to; checked here even if it is deferred
    SET CONSTRAINTS ALL IMMEDIATE;
    BEGIN
        DELETE FROM job_log WHERE job_id = ANY (v_runs);
        GET DIAGNOSTICS v_deleted = ROW_COUNT;
    EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
        FOREACH v_job_id IN ARRAY v_runs LOOP
            BEGIN
                DELETE FROM job_log WHERE job_id = v_job_id;
                v_deleted := v_deleted + 1;
            EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
                NULL;
            END;
        END LOOP;
    END;
    v_total := v_total + v_deleted;
    UPDATE job_detail SET message = format('runs deleted: %s', v_total) WHERE step_id = p_call[8]::bigint;
    -- without NULL, because the caller's array_nulls may be off
    RETURN ARRAY[coalesce(v_upto, 0), v_found, v_total, (v_found = v_batch)::integer];
END
$$;
COMMENT ON FUNCTION @schema@.link_clear(text[]) IS 'Internal: the link''s side of job_log_clear().';
