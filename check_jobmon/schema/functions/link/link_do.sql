-- Executes a call whose signature has been verified, with the function of the call's name.
CREATE OR REPLACE FUNCTION @schema@.link_do(p_call text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    -- Not in the CASE: a generic plan of that keeps job_detail open, and then no partition of it can be dropped.
    IF p_call[1] = 'drop' THEN
        RETURN link_drop(p_call);
    END IF;
    RETURN CASE p_call[1]
        WHEN 'add_job' THEN link_add_job(p_call)
        WHEN 'add_step' THEN link_add_step(p_call)
        WHEN 'update_step' THEN link_update_step(p_call)
        WHEN 'end_job' THEN link_end_job(p_call)
        WHEN 'lock_job' THEN link_lock_job(p_call)
        WHEN 'claim_job' THEN link_claim_job(p_call)
        WHEN 'cancel_job' THEN link_cancel_job(p_call)
        WHEN 'add_past_run' THEN link_add_past_run(p_call)
        WHEN 'clear' THEN link_clear(p_call)
        -- waits for the end of the batch during which job_log_clear() was cancelled
        WHEN 'cleared' THEN (SELECT message FROM job_detail WHERE step_id = p_call[5]::bigint FOR UPDATE)
        WHEN 'kept' THEN (SELECT ARRAY[count(*)::text,
                                        coalesce(string_agg(k.job_name || ' (job ' || k.job_id || ')', ', ' ORDER BY k.job_name), '')]
                            FROM job_log_kept_before(p_call[5]::timestamptz) AS k)::text
        WHEN 'ping' THEN 'pong'
        ELSE link_refuse()
    END;
END
$$;
COMMENT ON FUNCTION @schema@.link_do(text[]) IS 'Internal: executes a call that link_serve() or link_answer() has verified.';
