-- Bridges: the jobs and runs of other schedulers in the same database, which are copied into the log each minute.

CREATE TABLE @schema@.bridge (
    name       text PRIMARY KEY,
    bridged    timestamptz NOT NULL,
    own_key    bigint,
    defaults   jsonb,
    mark       bigint,
    since      timestamptz,
    looked     timestamptz,
    last_read  timestamptz
);
COMMENT ON TABLE @schema@.bridge IS
    'The schedulers whose jobs and runs are copied, and how far their runs have been read. bridge_known() has what is known of each.';
COMMENT ON COLUMN @schema@.bridge.own_key IS 'the number of the scheduler''s job that calls bridge_run() each minute';
COMMENT ON COLUMN @schema@.bridge.defaults IS 'what the jobs'' rows of job_check_config have beside their schedules';
COMMENT ON COLUMN @schema@.bridge.mark IS 'all runs up to this number are logged; of later ones, bridge_logged has those that are';
COMMENT ON COLUMN @schema@.bridge.since IS 'no run that started earlier is logged';
COMMENT ON COLUMN @schema@.bridge.looked IS 'when the runs were read last, by bridge_run() or before a purge';
COMMENT ON COLUMN @schema@.bridge.last_read IS 'when bridge_run() read them last: a run under way that began later isn''t logged yet';

CREATE TABLE @schema@.bridge_job (
    bridge   text NOT NULL,
    job_key  bigint NOT NULL,
    job_name text NOT NULL,
    source   jsonb NOT NULL,
    written  jsonb,
    note     text,
    gone     timestamptz,
    PRIMARY KEY (bridge, job_key)
);
COMMENT ON TABLE @schema@.bridge_job IS 'The jobs of the bridged schedulers, and their names in the log.';
COMMENT ON COLUMN @schema@.bridge_job.source IS 'what bridge_NAME_jobs() said of the job when its configuration was last written';
COMMENT ON COLUMN @schema@.bridge_job.written IS
    'what the bridge has written to job_check_config: while the row there has these values, it is the bridge''s; NULL: it is not';
COMMENT ON COLUMN @schema@.bridge_job.note IS 'why the job has no schedule there, if it has none';
COMMENT ON COLUMN @schema@.bridge_job.gone IS 'when the scheduler was found to have dropped the job';

CREATE TABLE @schema@.bridge_logged (
    bridge  text NOT NULL,
    run_key bigint NOT NULL,
    job_id  bigint,
    seen    timestamptz NOT NULL,
    PRIMARY KEY (bridge, run_key)
);
COMMENT ON TABLE @schema@.bridge_logged IS 'The runs of bridged schedulers that are logged although their numbers are greater than the mark.';
COMMENT ON COLUMN @schema@.bridge_logged.job_id IS 'the run in job_log, while it is under way';
REVOKE ALL ON @schema@.bridge, @schema@.bridge_job, @schema@.bridge_logged FROM PUBLIC;
