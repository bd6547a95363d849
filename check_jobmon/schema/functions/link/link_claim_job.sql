-- The link's side of claim_job(): [5] is the job_id, [6] the host and [7] the pid of the process that runs the job, or NULL.
-- Returns an array: 'over' if the run has ended, 'same' if the caller's session has started it, otherwise 'later'; and the role that has
-- cancelled the run, or ''.
CREATE OR REPLACE FUNCTION @schema@.link_claim_job(p_call text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_run job_log%ROWTYPE := link_own_run(p_call[5]::bigint, p_call);
BEGIN
    -- After a failover, another run may have the job_id of a run that was lost with the former primary.
    IF v_run.client_pid IS NOT NULL
       AND p_call[7] IS NOT NULL
       AND (v_run.client_host, v_run.client_pid) IS DISTINCT FROM (p_call[6], p_call[7]::integer)
       AND (v_run.end_time IS NOT NULL
            OR EXISTS (SELECT FROM pg_stat_activity AS a
                        WHERE a.pid = v_run.pid AND a.pid <> p_call[3]::integer AND a.datname = current_database())) THEN
        RAISE EXCEPTION 'job % belongs to process % on host %', v_run.job_id, v_run.client_pid, v_run.client_host
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Pass the job_id that add_job() returned. If a failover has lost that run, add another one.';
    END IF;
    UPDATE job_log
       -- stays negative if it is, because then the backend is on another server
       SET pid = CASE WHEN end_time IS NULL THEN sign(pid) * p_call[3]::integer ELSE pid END,
           client_host = coalesce(p_call[6], client_host),
           client_pid = coalesce(p_call[7]::integer, client_pid)
     WHERE job_id = v_run.job_id;
    -- without NULL elements, because array_nulls may be off in the caller's session
    RETURN ARRAY[CASE WHEN v_run.end_time IS NOT NULL THEN 'over'
                      WHEN abs(v_run.pid) = p_call[3]::integer
                           AND NOT EXISTS (SELECT FROM pg_stat_activity AS a
                                            WHERE a.pid = p_call[3]::integer AND a.backend_start > v_run.start_time) THEN 'same'
                      ELSE 'later'
                 END,
                 coalesce((SELECT c.cancelled_by FROM cancelled_job AS c WHERE c.job_id = v_run.job_id), '')];
END
$$;
COMMENT ON FUNCTION @schema@.link_claim_job(text[]) IS 'Internal: the link''s side of claim_job().';
