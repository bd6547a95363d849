-- What other settings, other clocks and restored copies need: keys for every table, and checks on what is written.

-- A negative sensitivity would be past with no failure at all, and nothing could end that alert. Rows that have one mean what
-- zero does: the first failure alerts.
UPDATE @schema@.job_check_config SET sensitivity = 0 WHERE sensitivity < 0;
ALTER TABLE @schema@.job_check_config
    ADD CONSTRAINT job_check_config_sensitivity CHECK (sensitivity >= 0);
COMMENT ON COLUMN @schema@.job_log.pid IS
    'process id of the backend that ran the job; negative if that is on another server than the log, a standby of it';

-- link_close(bigint) takes its place.
DROP ROUTINE IF EXISTS @schema@.link_close();
