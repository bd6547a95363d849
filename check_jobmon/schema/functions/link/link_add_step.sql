-- What the link runs for add_step().
CREATE OR REPLACE PROCEDURE @schema@.link_add_step(p_step_id bigint, p_job_id bigint, p_action text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    INSERT INTO job_detail (job_id, step_id, action, start_time)
         SELECT r.job_id, p_step_id, p_action, clock_timestamp()
           FROM job_log AS r
          WHERE r.job_id = p_job_id
             ON CONFLICT (step_id) DO NOTHING;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM job_log WHERE job_id = p_job_id) THEN
        RAISE EXCEPTION 'no job with job_id %', p_job_id
            USING ERRCODE = 'no_data_found', HINT = 'Pass the job_id that add_job() returned.';
    END IF;
END
$$;
COMMENT ON PROCEDURE @schema@.link_add_step(bigint, bigint, text) IS 'Internal: the link''s side of add_step().';
