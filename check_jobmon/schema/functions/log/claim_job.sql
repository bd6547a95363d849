-- Makes the caller's session that of a run, and notes which process runs it.
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
        -- by this name, a backend that started after the run is known as the run's
        v_mark := format('jobmon run %s: ', p_job_id);
        PERFORM set_config('application_name', v_mark || a.name, false)
           FROM (SELECT regexp_replace(current_setting('application_name'), '^jobmon run [0-9]+: ', '') AS name) AS a;
    END IF;
    RETURN nullif(v_answer[2], '');
END
$$;
COMMENT ON FUNCTION @schema@.claim_job(bigint, text, integer) IS
    'Makes the session of the caller that of the run: as long as the session lasts, the run is under way. For programs that have '
    'lost the session in which they called add_job(). With a host''s name and a process id, it is logged that this process runs '
    'the job; cancel_job() then leaves it to that process to end the run''s work. Returns the role that has cancelled the run, or '
    'NULL. Of a run that has ended, only the process is logged. If the session began after the run, its application_name is changed.';
