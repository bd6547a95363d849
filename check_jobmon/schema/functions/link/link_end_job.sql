-- The link's side of close_job() and fail_job(): ends the run with job_id [5] with the text of the alert code [6].
CREATE OR REPLACE FUNCTION @schema@.link_end_job(p_call text[], OUT p_answer text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_time constant timestamptz := to_timestamp(p_call[4]::double precision);
    v_code constant integer := p_call[6];
    v_run  job_log%ROWTYPE;
BEGIN
    IF NOT EXISTS (SELECT FROM job_status_text WHERE alert_code = v_code) THEN
        RAISE EXCEPTION 'no alert level % in @schema_name@.job_status_text', p_call[6]
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'The levels are: ' || coalesce(
                         (SELECT string_agg(alert_code || ' (' || alert_text || ')', ', ' ORDER BY alert_code)
                            FROM job_status_text), 'none') || '.';
    END IF;
    v_run := link_own_run(p_call[5]::bigint, p_call);
    UPDATE cancelled_job SET ended = true WHERE job_id = p_call[5]::bigint;
    IF NOT FOUND THEN
        -- A run that has ended keeps its end, and its status can only become worse. If its end is in the future, a clock was wrong.
        UPDATE job_log
           SET end_time = CASE WHEN end_time <= clock_timestamp() THEN end_time ELSE greatest(v_time, start_time) END,
               -- read here, because the word may have been changed while this waited for a lock
               status = (SELECT t.alert_text FROM job_status_text AS t WHERE t.alert_code = v_code)
         WHERE job_id = v_run.job_id
           -- so that only the partition of the run is looked into. link_own_run() has locked the run: its start_time can't change.
           AND start_time = v_run.start_time
           AND ((end_time <= clock_timestamp()) IS NOT TRUE
                OR v_code > coalesce((SELECT t.alert_code FROM job_status_text AS t WHERE t.alert_text = status), 0));
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.link_end_job(text[]) IS 'Internal: the link''s side of close_job() and fail_job().';
