-- Runs a statement as a job of one step, but not while the job is under way elsewhere. SECURITY INVOKER: see sql_run.sql.
CREATE OR REPLACE FUNCTION @schema@.sql_job(p_job_name text, p_sql text, p_raise boolean) RETURNS text
LANGUAGE plpgsql SECURITY INVOKER
AS $$
DECLARE
    v_job_name pg_catalog.text := pg_catalog.upper(p_job_name);
    v_job_id   bigint;
    v_step_id  bigint;
    v_holder   pg_catalog.text;
    v_refusal  pg_catalog.text;
    v_running  boolean := false;
BEGIN
    v_job_id := @schema@.add_job(p_job_name);
    v_holder := @schema@.lock_job(v_job_id);
    IF v_holder IS NOT NULL THEN
        v_step_id := @schema@.add_step(v_job_id, '@refusal@');
        PERFORM @schema@.update_step(v_step_id, @schema@.status_text(2), pg_catalog.format('not run: %s', v_holder));
        -- as a failure, because a success would clear the job's failures
        PERFORM @schema@.fail_job(v_job_id, 2);
        v_refusal := pg_catalog.format('job %s (%s) was not run: %s', v_job_id, v_job_name, v_holder);
        IF p_raise THEN
            RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = v_refusal;
        END IF;
        RETURN v_refusal;
    END IF;
    v_running := true;
    PERFORM @schema@.sql_run(v_job_id, pg_catalog.concat('Running sql: ''', p_sql, ''''), p_sql, true);
    v_running := false;
    PERFORM @schema@.close_job(v_job_id);
    RETURN pg_catalog.format('job %s (%s) was successful', v_job_id, v_job_name);
EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
    -- a run that was refused has been ended above, with level 2
    IF v_job_id IS NOT NULL AND v_refusal IS NULL THEN
        PERFORM @schema@.fail_job(v_job_id);
    END IF;
    IF v_running AND p_raise IS NOT TRUE AND SQLSTATE OPERATOR(pg_catalog.<>) '57014' THEN
        RETURN pg_catalog.format('job %s (%s) failed', v_job_id, v_job_name);
    END IF;
    RAISE;
END
$$;
COMMENT ON FUNCTION @schema@.sql_job(text, text, boolean) IS
    'Runs p_sql as sql_job(p_job_name, p_sql) does. With p_raise => true, the error with which the job fails is raised after it has been '
    'logged, so that psql, cron and pg_cron see that the job has failed; and error 55P03 is raised if p_sql is not run because the job is '
    'already under way.';

-- A separate function, instead of a default for p_raise, because grants, views and functions refer to pg_jobmon's function by this
-- signature.
CREATE OR REPLACE FUNCTION @schema@.sql_job(p_job_name text, p_sql text) RETURNS text
LANGUAGE sql SECURITY INVOKER
AS $$
    SELECT @schema@.sql_job(p_job_name, p_sql, false)
$$;
COMMENT ON FUNCTION @schema@.sql_job(text, text) IS
    'Runs p_sql with the caller''s rights as a job of one step. Returns a text that has the job_id and says whether the job was '
    'successful. While another sql_job() or jobmonctl run --lock of this job is under way, p_sql is not run, and the run is logged as '
    'failed with level 2. Deferred constraints are checked at the end of the job. An error that is raised only at COMMIT, such as a '
    'serialization failure (40001), comes too late: the job has been logged as successful. p_sql can''t COMMIT or VACUUM, because it '
    'runs within the caller''s transaction.';
