-- What link_clear() and link_drop() do first. p_call[5] is the run of job_log_clear(), p_call[8] its step.
CREATE OR REPLACE FUNCTION @schema@.link_clearing(p_call text[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    -- statements executed earlier in this transaction could have deferred triggers, which SET CONSTRAINTS would run with the owner's rights
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'somebody has begun a transaction on the job log''s link'
            USING ERRCODE = 'invalid_transaction_state', HINT = 'Close the link with dblink_disconnect(), and call again.';
    END IF;
    -- locked, so that job_log_clear() can wait for the end of this call before it reads the step's message
    PERFORM FROM job_detail WHERE step_id = p_call[8]::bigint FOR UPDATE;
    IF NOT EXISTS (SELECT FROM job_log WHERE job_id = p_call[5]::bigint AND end_time IS NULL) THEN
        RAISE EXCEPTION 'job %, the run of job_log_clear(), has already ended', p_call[5]
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call job_log_clear() again.';
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.link_clearing(text[]) IS
    'Internal: raises an error if runs must not be deleted now: in a transaction that somebody has begun on the link, or after the end '
    'of job_log_clear().';

-- Deletes the given runs, which the caller has locked, except those that are in use: a step is being written, or a foreign key that the
-- site has added refers to them. Returns how many were deleted, and adds that to the number in the message of the step p_step_id.
CREATE OR REPLACE FUNCTION @schema@.link_delete(p_runs bigint[], p_step_id bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_in_use  bigint[];
    v_runs    bigint[];
    v_deleted bigint := 0;
    v_job_id  bigint;
BEGIN
    WITH step AS MATERIALIZED (
        SELECT d.step_id
          FROM job_detail AS d
         WHERE d.job_id = ANY (p_runs)
           FOR UPDATE SKIP LOCKED
    )
    SELECT array_agg(DISTINCT d.job_id) INTO v_in_use
      FROM job_detail AS d
      LEFT JOIN step AS s ON s.step_id = d.step_id
     WHERE d.job_id = ANY (p_runs)
       AND s.step_id IS NULL;
    v_runs := ARRAY(SELECT unnest(p_runs) EXCEPT SELECT unnest(v_in_use));
    -- rows that a foreign key added by the site refers to are kept; a deferred one is checked here, too
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
    -- replaces only the first number in the message, because the names of dropped partitions have numbers, too
    UPDATE job_detail
       SET message = regexp_replace(coalesce(message, 'runs deleted: 0'), '[0-9]+',
                                    (coalesce(substring(message FROM '[0-9]+')::bigint, 0) + v_deleted)::text)
     WHERE step_id = p_step_id;
    RETURN v_deleted;
END
$$;
COMMENT ON FUNCTION @schema@.link_delete(bigint[], bigint) IS 'Internal: deletes runs for job_log_clear().';
