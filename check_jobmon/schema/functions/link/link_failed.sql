-- Whether a job goes on although a call can't be logged: if jobmon.on_link_failure is "warning", and the call is part of a run. Warns
-- about each run that can't be started, and about the other calls only once until a link is opened again.
CREATE OR REPLACE FUNCTION @schema@.link_failed(p_name text, p_why text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_setting constant text := lower(current_setting('jobmon.on_link_failure', true));
BEGIN
    IF v_setting NOT IN ('', 'error', 'warning') THEN
        RAISE WARNING 'jobmon.on_link_failure is "%", which is treated as "error"', v_setting
            USING HINT = 'Set it to "error" or "warning".';
    END IF;
    IF v_setting = 'warning' AND p_name IN ('add_job', 'add_step', 'update_step', 'end_job', 'lock_job') THEN
        IF p_name = 'add_job' OR current_setting('@schema_name@.link_failed', true) IS DISTINCT FROM 'on' THEN
            RAISE WARNING 'the job goes on, but is not logged: %', p_why
                USING HINT = 'Run "jobmonctl bootstrap", which tries the link and says what is missing.';
            PERFORM set_config('@schema_name@.link_failed', 'on', false);
        END IF;
        RETURN true;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION @schema@.link_failed(text, text) IS
    'Internal: warns that a call can''t be logged, if jobmon.on_link_failure is "warning", and returns whether the job goes on.';
