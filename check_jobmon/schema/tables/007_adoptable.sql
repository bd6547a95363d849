-- New columns: the process that runs a job, from when on the job is expected to run, and whom to ask about it.

-- a site may have added columns of its own to these tables
DO $$
DECLARE
    v_own text;
BEGIN
    SELECT string_agg(format('%I of %s', a.attname, a.attrelid::regclass), ', ')
      INTO v_own
      FROM pg_attribute AS a
     WHERE NOT a.attisdropped
       AND (a.attrelid = '@schema@.job_log'::regclass AND a.attname IN ('client_host', 'client_pid')
            OR a.attrelid = '@schema@.job_check_config'::regclass AND a.attname IN ('since', 'owner', 'description', 'runbook'));
    IF v_own IS NOT NULL THEN
        RAISE EXCEPTION 'this version has columns of its own with the names of columns that you have added: %', v_own
            USING ERRCODE = 'duplicate_column', HINT = 'Rename yours: ALTER TABLE ... RENAME ... TO ...';
    END IF;
END
$$;

ALTER TABLE @schema@.job_log ADD COLUMN client_host text, ADD COLUMN client_pid integer;
COMMENT ON COLUMN @schema@.job_log.client_host IS
    'name of the machine whose process runs the job, if that process is not the backend: jobmonctl run, or a Python program';
COMMENT ON COLUMN @schema@.job_log.client_pid IS 'process id of that process on that machine';

-- A job that is configured from now on is expected to run from that time on. For jobs that are already configured, nothing changes.
ALTER TABLE @schema@.job_check_config ADD COLUMN since timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE @schema@.job_check_config
    ALTER COLUMN since SET DEFAULT now(),
    ADD COLUMN owner text,
    ADD COLUMN description text,
    ADD COLUMN runbook text;
COMMENT ON COLUMN @schema@.job_check_config.since IS
    'from when on the job is expected to run: as long as no run has completed, the thresholds count from this time';
COMMENT ON COLUMN @schema@.job_check_config.owner IS 'whom to ask about the job: a person, a team, a mailing list';
COMMENT ON COLUMN @schema@.job_check_config.description IS 'what the job does, and what depends on it';
COMMENT ON COLUMN @schema@.job_check_config.runbook IS 'URL of a page that says what to do if the job fails';
