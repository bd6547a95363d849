-- The link's side of add_job(): [5] is the job_id, NULL if the caller could not allocate one, [6] the name, and [7] 'true' if the
-- caller is on a standby.
CREATE OR REPLACE FUNCTION @schema@.link_add_job(p_call text[], OUT p_answer text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_time   constant timestamptz := to_timestamp(p_call[4]::double precision);
    -- a negative pid belongs to another server, whose backends can't be seen here
    v_pid    constant integer := CASE WHEN p_call[7]::boolean THEN -p_call[3]::integer ELSE p_call[3]::integer END;
    v_job_id bigint;
BEGIN
    -- A run that job_log_clear() has deleted must not be added again.
    IF v_time < clock_timestamp() - interval '1 hour' THEN
        RAISE EXCEPTION 'this call was signed at %, more than an hour ago', v_time
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'If the link connects to another server, synchronize the clocks of the two servers.';
    END IF;
    LOOP
        -- this call may have added it already, before the link was lost and the call repeated
        SELECT job_id INTO p_answer
          FROM job_log
         WHERE job_name = p_call[6]
           AND (end_time IS NULL OR end_time >= v_time)
           AND start_time = v_time
           AND pid = v_pid
           AND owner = p_call[2]
           AND job_id = coalesce(p_call[5]::bigint, job_id);
        EXIT WHEN FOUND;
        v_job_id := coalesce(p_call[5]::bigint, link_next_id('job_log', 'job_id'));
        INSERT INTO job_log (job_id, owner, job_name, start_time, pid)
             VALUES (v_job_id, p_call[2], p_call[6], v_time, v_pid)
                 ON CONFLICT DO NOTHING
          RETURNING job_id INTO p_answer;
        EXIT WHEN FOUND;
        IF p_call[5] IS NOT NULL THEN
            RAISE EXCEPTION 'job_id % is another run''s already', v_job_id USING ERRCODE = 'unique_violation';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @schema@.link_add_job(text[]) IS 'Internal: the link''s side of add_job().';
