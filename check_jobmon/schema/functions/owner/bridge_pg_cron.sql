-- What the bridge reads of pg_cron: its jobs and its runs, in the columns that bridge_follow() and bridge_run() expect; and the job
-- there that calls bridge_run(). With row_security off, PostgreSQL raises an error rather than to hide rows.
CREATE OR REPLACE FUNCTION @schema@.bridge_pg_cron_jobs()
RETURNS TABLE (job_key bigint, job_name text, database text, schedule text, timezone text, active boolean, since timestamptz,
               due_unknown boolean, note text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
SET row_security = off
AS $$
DECLARE
    -- versions before 1.5 don't have the setting
    v_timezone constant text := coalesce(nullif(current_setting('cron.timezone', true), ''), 'GMT');
BEGIN
    RETURN QUERY
    SELECT j.jobid, j.jobname::text, j.database::text,
           -- "$" is the last day of the month
           CASE WHEN s.is_interval THEN NULL ELSE replace(j.schedule, '$', 'L') END, v_timezone, j.active, NULL::timestamptz, false,
           CASE WHEN s.is_interval THEN format('its schedule, "%s", is no cron expression', left(j.schedule, 100)) END
      FROM cron.job AS j
     CROSS JOIN LATERAL (SELECT j.schedule ~* '^ *[0-9]+ *seconds? *$' AS is_interval) AS s;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_pg_cron_jobs() IS 'Internal: the jobs of pg_cron, for bridge_follow().';

CREATE OR REPLACE FUNCTION @schema@.bridge_pg_cron_runs(p_after bigint, p_keys bigint[])
RETURNS TABLE (run_key bigint, job_key bigint, owner text, pid integer, started timestamptz, ended timestamptz, code integer, steps jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
SET row_security = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    IF current_setting('cron.log_run', true) = 'off' THEN
        RAISE EXCEPTION 'pg_cron doesn''t log its runs: cron.log_run is off'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Turn it on, and restart the server.';
    END IF;
    RETURN QUERY
    SELECT d.runid, d.jobid, d.username, d.job_pid, d.start_time, e.ended, c.code,
           jsonb_build_array(jsonb_build_object(
               'action', format('pg_cron job %s in database "%s"', d.jobid, d.database),
               'started', d.start_time,
               'ended', e.ended,
               'code', c.code,
               'message', CASE WHEN p.is_cut_off THEN format('the server was stopped while pg_cron was at "%s"', d.status)
                               WHEN c.code = 2 THEN format('pg_cron says "%s", which the bridge doesn''t know: ', d.status) ELSE '' END
                          -- a job's error may be longer than jsonb takes, or than there is time for
                          || coalesce(rtrim(bounded_text(left(d.return_message, 10000000)), E' \n\r\t'), '')))
      FROM cron.job_run_details AS d
     CROSS JOIN LATERAL (
            -- after a restart, pg_cron leaves runs in these states as they are, without times
            SELECT d.status IN ('connecting', 'sending')
                   AND EXISTS (SELECT FROM cron.job_run_details AS n
                                WHERE n.runid >= d.runid AND n.start_time < pg_postmaster_start_time()) AS is_cut_off
           ) AS p
     CROSS JOIN LATERAL (
            SELECT CASE WHEN d.status = 'succeeded' THEN 1
                        WHEN d.status = 'failed' OR p.is_cut_off THEN 3
                        WHEN d.status NOT IN ('starting', 'connecting', 'sending', 'running') AND d.end_time IS NOT NULL THEN 2
                   END AS code
           ) AS c
     CROSS JOIN LATERAL (
            SELECT CASE WHEN c.code IS NULL THEN NULL
                        WHEN d.end_time IS NOT NULL THEN d.end_time
                        -- has been found after a restart, as failed
                        WHEN d.start_time < pg_postmaster_start_time() THEN pg_postmaster_start_time()
                        ELSE clock_timestamp()
                   END AS ended
           ) AS e
     WHERE (d.runid > p_after OR d.runid = ANY (p_keys))
       -- without runs of the job that calls bridge_run(), also if it has been made anew since
       AND (d.username = current_user AND d.command = 'SELECT @schema@.bridge_run(''pg_cron'')') IS NOT TRUE;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_pg_cron_runs(bigint, bigint[]) IS
    'Internal: the runs of pg_cron with greater numbers than p_after, and those with the numbers p_keys, for bridge_run(). The code is '
    'NULL while a run is under way.';

CREATE OR REPLACE FUNCTION @schema@.bridge_pg_cron_job(p_wanted boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
SET row_security = off
AS $$
DECLARE
    v_name    constant text := '@schema_name@ bridge';
    v_command constant text := 'SELECT @schema@.bridge_run(''pg_cron'')';
    v_key     bigint;
BEGIN
    IF p_wanted AND current_setting('cron.database_name', true) IS DISTINCT FROM current_database() THEN
        RAISE EXCEPTION 'pg_cron doesn''t run the jobs of this database: cron.database_name is %, and this is "%"',
                        coalesce(format('"%s"', current_setting('cron.database_name', true)), 'not set'), current_database()
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Bootstrap and bridge that database, or correct shared_preload_libraries and cron.database_name and restart.';
    ELSIF p_wanted AND NOT (SELECT r.rolcanlogin FROM pg_roles AS r WHERE r.rolname = current_user) THEN
        RAISE EXCEPTION 'pg_cron runs a job by logging in as its owner, and role "%" can''t log in', current_user
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format('ALTER ROLE %I LOGIN.', current_user);
    END IF;
    SELECT j.jobid
      INTO v_key
      FROM cron.job AS j
     WHERE j.jobname = v_name AND j.username = current_user AND j.command = v_command AND j.schedule = '* * * * *' AND j.active
       AND j.database = current_database()
       -- a job from a restored dump would be executed by the server that the dump is of
       AND j.nodename IS NOT DISTINCT FROM coalesce(current_setting('cron.host', true), j.nodename)
       AND j.nodeport IS NOT DISTINCT FROM coalesce(current_setting('port')::integer, j.nodeport)
       AND p_wanted;
    IF NOT FOUND THEN
        -- a superuser also drops the job that an earlier owner of the schema had there
        PERFORM cron.unschedule(j.jobid)
           FROM cron.job AS j
          WHERE j.jobname = v_name
            AND (j.username = current_user
                 OR j.command = v_command AND (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user));
        IF p_wanted THEN
            v_key := cron.schedule(v_name, '* * * * *', v_command);
        END IF;
    END IF;
    RETURN v_key;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_pg_cron_job(boolean) IS
    'Internal: makes the job of pg_cron that calls bridge_run() each minute, or drops it, and returns its number.';
