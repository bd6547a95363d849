-- Makes the caller's session the session of a run, and logs which process runs the job.
CREATE OR REPLACE FUNCTION @schema@.claim_job(p_job_id bigint, p_client_host text DEFAULT NULL, p_client_pid integer DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_answer text[];
    v_mark   text;
BEGIN
    IF p_job_id IS NULL THEN
        RAISE EXCEPTION 'claim_job() needs a job_id, and this one is NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Pass the job_id that add_job() returned.';
    END IF;
    v_answer := link_call('claim_job', ARRAY[p_job_id::text, left(p_client_host, 255), p_client_pid::text], true);
    IF v_answer[1] = 'later' THEN
        -- by this name, a backend that has not started the run is recognized as the run's: see own_backend.sql
        v_mark := format('jobmon run %s: ', p_job_id);
        PERFORM set_config('application_name', v_mark || a.name, false)
           FROM (SELECT regexp_replace(current_setting('application_name'), '^jobmon run [0-9]+: ', '') AS name) AS a;
    END IF;
    RETURN nullif(v_answer[2], '');
END
$$;
COMMENT ON FUNCTION @schema@.claim_job(bigint, text, integer) IS
    'Makes the caller''s session the session of the run, which then counts as under way as long as this session lasts. For programs '
    'that have lost the session in which they called add_job(). A host name and a process id, if given, are logged as those of the '
    'process that runs the job; cancel_job() then notifies that process instead of cancelling the backend. If the run has ended, nothing '
    'else is changed. Unless the session has started the run itself, its application_name is changed. Returns the role that has '
    'cancelled the run, or NULL.';
