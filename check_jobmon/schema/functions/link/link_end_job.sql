-- The link's side of close_job() and fail_job(): ends the run with the text of an alert code.
CREATE OR REPLACE FUNCTION @schema@.link_end_job(p_job_id bigint, p_alert_code integer, p_role text, p_pid integer,
                                                 p_time timestamptz)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_status text := (SELECT alert_text FROM job_status_text WHERE alert_code = p_alert_code);
    v_run    @schema@.job_log%ROWTYPE;
BEGIN
    IF v_status IS NULL THEN
        RAISE EXCEPTION 'no alert level % in @schema_name@.job_status_text', p_alert_code
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Levels there are: ' || coalesce(
                         (SELECT string_agg(alert_code || ' (' || alert_text || ')', ', ' ORDER BY alert_code)
                            FROM job_status_text), 'none') || '.';
    END IF;
    -- nearly every call: the owner ends an open run
    UPDATE job_log
       SET end_time = greatest(p_time, start_time),
           status = v_status
     WHERE job_id = p_job_id
       AND end_time IS NULL
       AND owner = p_role;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    v_run := link_own_run(p_job_id, p_role, p_pid);
    UPDATE cancelled_job SET ended = true WHERE job_id = p_job_id;
    IF NOT FOUND THEN
        -- not a call that came before the last one, or was that; but a time that is yet to come is the clock's mistake
        UPDATE job_log
           SET end_time = greatest(p_time, start_time),
               status = v_status
         WHERE job_id = p_job_id
           AND (end_time IS NULL OR end_time < p_time OR end_time > clock_timestamp());
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.link_end_job(bigint, integer, text, integer, timestamptz) IS
    'Internal: the link''s side of close_job() and fail_job().';
