-- The schedulers that can be bridged. To add one, add a row here, and a file with its functions: see bridge_pg_cron.sql.
CREATE OR REPLACE FUNCTION @schema@.bridge_known()
RETURNS TABLE (name text, run_table text, run_key text, run_start text, purged text[], rights text, needs jsonb)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
VALUES ('pg_cron', 'cron.job_run_details', 'runid', 'start_time', ARRAY['cron.job_run_details'],
        'ALTER ROLE %1$I BYPASSRLS; GRANT pg_read_all_settings TO %1$I; GRANT USAGE ON SCHEMA cron TO %1$I; '
        'GRANT SELECT ON cron.job, cron.job_run_details TO %1$I',
        '{"cron.job": ["jobid", "schedule", "command", "nodename", "nodeport", "database", "username", "active", "jobname"],
          "cron.job_run_details": ["jobid", "runid", "job_pid", "database", "username", "command", "status", "return_message",
                                   "start_time", "end_time"]}'::jsonb),
       ('pgagent', 'pgagent.pga_joblog', 'jlgid', 'jlgstart', ARRAY['pgagent.pga_job', 'pgagent.pga_joblog', 'pgagent.pga_jobsteplog'],
        'GRANT USAGE ON SCHEMA pgagent TO %1$I; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgagent TO %1$I; '
        'GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgagent TO %1$I -- which lets it do whatever pgAgent may do',
        '{"pgagent.pga_job": ["jobid", "jobjclid", "jobname", "jobenabled"],
          "pgagent.pga_jobstep": ["jstid", "jstjobid", "jstname", "jstenabled", "jstkind", "jstcode", "jstdbname"],
          "pgagent.pga_schedule": ["jscid", "jscjobid", "jscname", "jscenabled", "jscstart", "jscend", "jscminutes", "jschours",
                                   "jscweekdays", "jscmonthdays", "jscmonths"],
          "pgagent.pga_exception": ["jexscid"],
          "pgagent.pga_joblog": ["jlgid", "jlgjobid", "jlgstatus", "jlgstart", "jlgduration"],
          "pgagent.pga_jobsteplog": ["jslid", "jsljlgid", "jsljstid", "jslstatus", "jslresult", "jslstart", "jslduration",
                                     "jsloutput"]}')
$$;
COMMENT ON FUNCTION @schema@.bridge_known() IS
    'Internal: the schedulers that jobmonctl bridge knows. run_table: the table with a row for each run; run_key: its column with the '
    'number of the run, which increases; run_start: its column with the start of the run; purged: the tables from which sites delete old '
    'rows; rights: the GRANTs that a role needs to bridge the scheduler; needs: the tables and columns that are read.';
