-- The demo's jobs, and the runs that have ended. Each run has one step, which executes a statement. If the statement fails, its changes
-- are rolled back, but the log of the run stays.
CREATE TABLE facts (id integer PRIMARY KEY);
INSERT INTO facts VALUES (42);
INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity) VALUES
    ('CATALOG REFRESH', '1 day', '2 days', true, 0),
    ('CUBE', '1 day', '2 days', true, 0),
    ('INVENTORY SYNC', '1 day', '2 days', true, 2),
    ('MONTHLY REPORT', '31 days', '32 days', true, 0),
    ('NIGHTLY ETL', '1 day', '30 hours', true, 1),
    ('PARTITION UPKEEP', '1 second', '1 day', true, 0),
    ('VACUUM BIG TABLES', '1 day', '2 days', true, 0),
    ('WAREHOUSE LOAD', '1 second', '1 day', true, 0);
-- expected to have run for longer than the demo exists
UPDATE jobmon.job_check_config SET since = '-infinity' WHERE job_name = 'MONTHLY REPORT';
DO $$
DECLARE
    v_run     record;
    v_job_id  bigint;
    v_step_id bigint;
BEGIN
    FOR v_run IN
        VALUES ('catalog refresh', 'refresh materialized views', 'SELECT'),
               ('cube', 'build', 'SELECT'),
               ('nightly etl', 'load facts', 'INSERT INTO facts VALUES (42)'),
               ('nightly etl', 'load facts', 'INSERT INTO facts VALUES (42)'),
               ('inventory sync', 'fetch stock levels', 'SELECT 1 / 0'),
               ('vacuum big tables', 'vacuum stock', 'SELECT')
    LOOP
        v_job_id := jobmon.add_job(v_run.column1);
        v_step_id := jobmon.add_step(v_job_id, v_run.column2);
        BEGIN
            EXECUTE v_run.column3;
            PERFORM jobmon.update_step(v_step_id, 'OK', 'done');
            PERFORM jobmon.close_job(v_job_id);
        EXCEPTION WHEN OTHERS THEN
            PERFORM jobmon.update_step(v_step_id, 'CRITICAL', SQLERRM);
            PERFORM jobmon.fail_job(v_job_id);
        END;
    END LOOP;
END
$$;
-- this run must be older than the demo, so that its job is late
UPDATE jobmon.job_log
   SET start_time = start_time - interval '26 hours', end_time = end_time - interval '26 hours'
 WHERE job_name = 'CUBE';
