-- Logs a run that has ended, for a caller that could not reach the database while it ran.
CREATE OR REPLACE FUNCTION @schema@.add_past_run(p_key uuid, p_job_name text, p_start_time timestamptz, p_end_time timestamptz,
                                                 p_alert_code integer, p_action text, p_message text,
                                                 p_job_id bigint DEFAULT NULL, p_pid integer DEFAULT 0)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    -- for texts that mean the same in any session, whatever its time zone and date style
    v_format constant text := 'YYYY-MM-DD HH24:MI:SS.US+00';
    v_job_id bigint;
BEGIN
    IF p_key IS NULL OR p_alert_code IS NULL OR p_action IS NULL THEN
        RAISE EXCEPTION 'add_past_run() needs a key, an alert code and an action, and one of them is NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Make the key with gen_random_uuid(), once for each run.';
    ELSIF coalesce(btrim(p_job_name), '') = '' OR length(p_job_name) > 500 THEN
        RAISE EXCEPTION 'a job''s name has 1 to 500 characters, and this one has %', coalesce(length(p_job_name), 0)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Choose a shorter name, and put what varies from run to run into a step.';
    ELSIF (p_start_time > '1000-01-01' AND p_start_time <= p_end_time AND p_end_time < '9999-01-01') IS NOT TRUE THEN
        RAISE EXCEPTION 'a run can''t be from % to %', coalesce(p_start_time::text, 'NULL'), coalesce(p_end_time::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass the times at which it started and ended.';
    END IF;
    v_job_id := link_call('add_past_run',
                          ARRAY[p_key::text, upper(p_job_name), to_char(p_start_time AT TIME ZONE 'UTC', v_format),
                                to_char(p_end_time AT TIME ZONE 'UTC', v_format), p_alert_code::text,
                                p_action, p_message, p_job_id::text, coalesce(p_pid, 0)::text],
                          true);
    PERFORM link_close(0);
    RETURN v_job_id;
END
$$;
COMMENT ON FUNCTION @schema@.add_past_run(uuid, text, timestamptz, timestamptz, integer, text, text, bigint, integer) IS
    'Logs a run of one step that has already ended, with the times given, and returns its job_id. A second call with the same '
    'key adds nothing. If the run was started with add_job() and is still open, that run is ended instead of adding another: it is found '
    'by p_job_id, or by p_pid and the times. The run is treated as if it had been logged when it ended: it doesn''t clear later '
    'failures, and it doesn''t alert if a later run succeeded.';
