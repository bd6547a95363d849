-- Locks the run that a call writes to and returns it; raises an error if the caller may not write to it.
CREATE OR REPLACE FUNCTION @schema@.link_own_run(p_job_id bigint, p_call text[]) RETURNS @schema@.job_log
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_run job_log%ROWTYPE;
BEGIN
    SELECT * INTO v_run FROM job_log WHERE job_id = p_job_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no job with job_id %', p_job_id
            USING ERRCODE = 'no_data_found', HINT = 'Pass the job_id that add_job() returned.';
    -- If the call was signed before the run began, the caller is not the session that started the run, but had the same pid earlier.
    -- No session has the pid 0.
    ELSIF NOT may_write(v_run, p_call[2], CASE WHEN to_timestamp(p_call[4]::double precision) >= v_run.start_time
                                               THEN p_call[3]::integer ELSE 0 END) THEN
        RAISE EXCEPTION 'job % belongs to role "%", and role "%" may not write to it', p_job_id, v_run.owner, p_call[2]
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Its owner may write to it, and so may members of that role, the session that started the job, and the '
                         'owner of the job log.';
    END IF;
    RETURN v_run;
END
$$;
COMMENT ON FUNCTION @schema@.link_own_run(bigint, text[]) IS
    'Internal: locks the run with this job_id and returns it, or raises an error if the caller may not write to it.';
