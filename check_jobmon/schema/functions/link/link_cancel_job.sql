-- What the link runs for cancel_job(): the note in the last step, and the end of the run, in one transaction.
CREATE OR REPLACE FUNCTION @schema@.link_cancel_job(p_job_id bigint, p_role text, p_mac text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_note    text := 'cancelled by ' || p_role;
    v_step_id bigint;
BEGIN
    IF p_mac IS DISTINCT FROM link_mac(format('cancel %s %L', p_job_id, p_role)) THEN
        RAISE EXCEPTION 'this call was not signed by cancel_job()' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- The session that was cancelled may have ended the step, or even the run, by now. The run first: after the note,
    -- it stays as it is.
    CALL link_end_job(p_job_id, 3);
    SELECT step_id INTO v_step_id
      FROM job_detail
     WHERE job_id = p_job_id
     ORDER BY step_id DESC
     LIMIT 1;
    IF v_step_id IS NULL THEN
        v_step_id := nextval('job_detail_step_id_seq');
        CALL link_add_step(v_step_id, p_job_id, 'cancel_job');
    END IF;
    UPDATE job_detail
       SET end_time = coalesce(end_time, clock_timestamp()),
           elapsed_time = extract(epoch FROM coalesce(end_time, clock_timestamp()) - start_time),
           status = (SELECT alert_text FROM job_status_text WHERE alert_code = 3),
           message = concat_ws('; ', v_note, message)
     WHERE step_id = v_step_id
       AND NOT coalesce(starts_with(message, 'cancelled by '), false);
    RETURN p_job_id;
END
$$;
COMMENT ON FUNCTION @schema@.link_cancel_job(bigint, text, text) IS 'Internal: the link''s side of cancel_job().';
