-- What the link runs for add_job().
CREATE OR REPLACE PROCEDURE @schema@.link_add_job(p_job_id bigint, p_job_name text, p_owner text, p_pid integer, p_mac text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    IF p_mac IS DISTINCT FROM link_mac(format('%s %L %L %s', p_job_id, p_job_name, p_owner, p_pid)) THEN
        RAISE EXCEPTION 'this call was not signed by add_job()' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO job_log (job_id, owner, job_name, start_time, pid)
         VALUES (p_job_id, p_owner, p_job_name, clock_timestamp(), p_pid)
             ON CONFLICT (job_id) DO NOTHING;
END
$$;
COMMENT ON PROCEDURE @schema@.link_add_job(bigint, text, text, integer, text) IS 'Internal: the link''s side of add_job().';
