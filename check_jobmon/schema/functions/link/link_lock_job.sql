-- The link's side of lock_job(), for the run with job_id [5]. The lock is a row, committed at once, because only the link's side
-- can write one; an advisory lock could be taken by anybody.
CREATE OR REPLACE FUNCTION @schema@.link_lock_job(p_call text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_run    job_log%ROWTYPE := link_own_run(p_call[5]::bigint, p_call);
    -- negative if the run's is, because its backend is on another server
    v_pid    constant integer := sign(v_run.pid) * p_call[3]::integer;
    v_time   constant timestamptz := clock_timestamp();
    v_holder bigint;
    v_text   text;
BEGIN
    IF v_run.end_time IS NOT NULL THEN
        RAISE EXCEPTION 'job % is already over, so it can''t be locked', v_run.job_id
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Pass the job_id that add_job() returned.';
    END IF;
    LOOP
        INSERT INTO job_lock (job_name, job_id, pid, taken)
             VALUES (v_run.job_name, v_run.job_id, v_pid, v_time)
        ON CONFLICT (job_name) DO NOTHING;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        SELECT job_id INTO v_holder FROM job_lock WHERE job_name = v_run.job_name FOR UPDATE;
        -- not found if job_log_clear() has just deleted it
        EXIT WHEN FOUND;
    END LOOP;
    -- In a separate statement, whose snapshot sees everything that was committed before the row could be locked.
    SELECT format('job %s (pid %s) is under way', l.job_id, coalesce(k.pid, l.pid)) INTO v_text
      FROM job_log AS l
      JOIN job_lock AS k ON k.job_name = v_run.job_name
      -- pid and taken are NULL in a lock from before there were these columns: then the session that started the run holds it
      LEFT JOIN pg_stat_activity AS a ON a.pid = coalesce(k.pid, l.pid) AND a.datname = current_database()
      LEFT JOIN cancelled_job AS c ON c.job_id = l.job_id
     WHERE l.job_id = v_holder
       AND l.job_id <> v_run.job_id
       -- if the pid is negative, the backend is on another server, where it can't be seen
       AND (l.pid < 0 OR a.pid IS NOT NULL AND coalesce(a.backend_start <= coalesce(k.taken, l.start_time), true)
                         AND coalesce(k.taken, l.start_time) >= @schema/writable_since.sql@)
       -- a cancelled run has an end, but its session may not have stopped yet
       AND (l.end_time IS NULL OR NOT c.ended);
    IF v_text IS NULL THEN
        UPDATE job_lock SET job_id = v_run.job_id, pid = v_pid, taken = v_time WHERE job_name = v_run.job_name;
    END IF;
    RETURN v_text;
END
$$;
COMMENT ON FUNCTION @schema@.link_lock_job(text[]) IS 'Internal: the link''s side of lock_job().';
