-- Starts a run.
CREATE OR REPLACE FUNCTION @schema@.add_job(p_job_name text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    IF coalesce(btrim(p_job_name), '') = '' THEN
        RAISE EXCEPTION 'a job needs a name, and this one is %', CASE WHEN p_job_name IS NULL THEN 'NULL' ELSE 'empty' END
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Call add_job(''NIGHTLY ETL''), for example.';
    ELSIF length(p_job_name) > 500 THEN
        RAISE EXCEPTION 'a job''s name has at most 500 characters, and this one has %', length(p_job_name)
            USING ERRCODE = 'string_data_right_truncation',
                  HINT = 'Choose a shorter name, and put what varies from run to run into a step.';
    END IF;
    IF current_setting('transaction_read_only')::boolean THEN
        -- This may be a standby whose dblink_mapping leads to the primary. There, this session's pid says nothing.
        RETURN link_call('add_job', ARRAY[NULL, upper(p_job_name), pg_is_in_recovery()::text], true);
    END IF;
    BEGIN
        v_job_id := nextval('job_log_job_id_seq');
    EXCEPTION WHEN internal_error OR undefined_table THEN
        -- jobmonctl partition has just replaced the sequence: the link's side finds the new one
        RETURN link_call('add_job', ARRAY[NULL, upper(p_job_name), 'false'], true);
    END;
    RETURN coalesce(link_call('add_job', ARRAY[v_job_id::text, upper(p_job_name)])::bigint, v_job_id);
END
$$;
COMMENT ON FUNCTION @schema@.add_job(text) IS
    'Starts a run of the job and returns its job_id. The job''s name is converted to upper case. Other sessions see the run at '
    'once, and it is kept even if the transaction rolls back. If it can''t be logged and jobmon.on_link_failure is "warning", the job_id '
    'is 0: further calls with this job_id do nothing.';
