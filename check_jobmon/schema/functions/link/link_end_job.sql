-- What the link runs for close_job() and fail_job(): ends the run with the text of an alert code.
CREATE OR REPLACE PROCEDURE @schema@.link_end_job(p_job_id bigint, p_alert_code integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_status text := (SELECT alert_text FROM job_status_text WHERE alert_code = p_alert_code);
BEGIN
    IF v_status IS NULL THEN
        RAISE EXCEPTION 'no alert level % in @schema_name@.job_status_text', p_alert_code
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Levels there are: ' || coalesce(
                         (SELECT string_agg(alert_code || ' (' || alert_text || ')', ', ' ORDER BY alert_code)
                            FROM job_status_text), 'none') || '.';
    END IF;
    -- a run that cancel_job() has ended stays cancelled, whatever the cancelled session says of it afterwards
    UPDATE job_log
       SET end_time = clock_timestamp(),
           status = v_status
     WHERE job_id = p_job_id
       AND (end_time IS NULL
            OR NOT EXISTS (SELECT FROM job_detail AS d
                            WHERE d.job_id = p_job_id AND starts_with(d.message, 'cancelled by ')));
    IF NOT FOUND AND NOT EXISTS (SELECT FROM job_log WHERE job_id = p_job_id) THEN
        RAISE EXCEPTION 'no job with job_id %', p_job_id
            USING ERRCODE = 'no_data_found', HINT = 'Pass the job_id that add_job() returned.';
    END IF;
END
$$;
COMMENT ON PROCEDURE @schema@.link_end_job(bigint, integer) IS
    'Internal: the link''s side of close_job() and fail_job().';
