-- Runs a statement as a job of one step, but not while the job is under way elsewhere. It runs as the caller: see sql_run.sql.
CREATE OR REPLACE FUNCTION @schema@.sql_job(p_job_name text, p_sql text) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
    v_job_name pg_catalog.text := pg_catalog.upper(p_job_name);
    v_job_id   bigint;
    v_step_id  bigint;
    v_text     pg_catalog.text;
BEGIN
    v_job_id := @schema@.add_job(p_job_name);
    v_text := @schema@.lock_job(v_job_id);
    IF v_text IS NOT NULL THEN
        v_step_id := @schema@.add_step(v_job_id, '@refusal@');
        PERFORM @schema@.update_step(v_step_id, @schema@.status_text(2), pg_catalog.format('not run: %s', v_text));
        -- not as a success, which would clear the job's failures
        PERFORM @schema@.fail_job(v_job_id, 2);
        RETURN pg_catalog.format('job %s (%s) was not run: %s', v_job_id, v_job_name, v_text);
    END IF;
    IF @schema@.sql_run(v_job_id, pg_catalog.concat('Running sql: ''', p_sql, ''''), p_sql, true) THEN
        PERFORM @schema@.close_job(v_job_id);
        RETURN pg_catalog.format('job %s (%s) was successful', v_job_id, v_job_name);
    END IF;
    PERFORM @schema@.fail_job(v_job_id);
    RETURN pg_catalog.format('job %s (%s) failed', v_job_id, v_job_name);
EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
    IF v_job_id IS NOT NULL THEN
        PERFORM @schema@.fail_job(v_job_id);
    END IF;
    RAISE;
END
$$;
COMMENT ON FUNCTION @schema@.sql_job(text, text) IS
    'Runs p_sql with the caller''s rights as a job of one step. Returns a text that has the job_id and says whether the job was '
    'successful. While another sql_job() or jobmonctl run --lock of this job is under way, p_sql is not run, and the run is logged as '
    'failed with level 2. Deferred constraints are checked at the end of the job. An error that is raised only at COMMIT, such as a '
    'serialization failure (40001), comes too late: the job has been logged as successful.';
