-- What other settings, other clocks and restored copies need: keys for every table, and checks on what is written.

-- The key that signs the calls over the link, in two halves. In sequences, because pg_sequence_last_value() reads one within an
-- expression: the query that a table takes made each logged job a sixth slower.
ALTER TABLE @schema@.link DROP COLUMN mac_key;
CREATE SEQUENCE @schema@.link_key_1 MINVALUE -9223372036854775808;
CREATE SEQUENCE @schema@.link_key_2 MINVALUE -9223372036854775808;
COMMENT ON SEQUENCE @schema@.link_key_1 IS
    'Half of the key that signs the calls over the link, so that nobody else using the link can log in another''s name. '
    'Made and kept by bootstrap, for the owner''s eyes only.';
COMMENT ON SEQUENCE @schema@.link_key_2 IS 'The other half of that key.';
REVOKE ALL ON SEQUENCE @schema@.link_key_1, @schema@.link_key_2 FROM PUBLIC;
DROP ROUTINE IF EXISTS @schema@.link_answer(text, text);
DROP ROUTINE IF EXISTS @schema@.link_serve(text, text);

-- job_log_ended and job_log_added take its place
DROP TRIGGER IF EXISTS job_log_alert ON @schema@.job_log;

-- A negative sensitivity would be past with no failure at all, and nothing could end that alert. Rows that have one mean what
-- zero does: the first failure alerts.
UPDATE @schema@.job_check_config SET sensitivity = 0 WHERE sensitivity < 0;
ALTER TABLE @schema@.job_check_config
    ADD CONSTRAINT job_check_config_sensitivity CHECK (sensitivity >= 0);
COMMENT ON COLUMN @schema@.job_log.pid IS
    'process id of the backend that ran the job; negative if that is on another server than the log, a standby of it';

-- link_close(bigint) takes its place.
DROP ROUTINE IF EXISTS @schema@.link_close();
-- Its answer has two columns now.
DROP ROUTINE IF EXISTS @schema@.link_conninfo();

-- A key for every table: where a publication has all tables, those without can be neither updated nor deleted from. So until
-- job_check_log has its key, its whole rows do. A run is there once; its worst level counts.
ALTER TABLE @schema@.job_check_log REPLICA IDENTITY FULL;
DELETE FROM @schema@.job_check_log AS c
      USING @schema@.job_check_log AS d
      WHERE d.job_id = c.job_id AND (d.alert_code, d.ctid) > (c.alert_code, c.ctid);
ALTER TABLE @schema@.job_check_log ADD PRIMARY KEY (job_id);
ALTER TABLE @schema@.job_check_log REPLICA IDENTITY DEFAULT;
-- a site may have dropped it
DROP INDEX IF EXISTS @schema@.job_check_log_job_id_idx;
ALTER TABLE @schema@.link ADD PRIMARY KEY (role_name);
-- any of its columns can be NULL
ALTER TABLE @schema@.dblink_mapping REPLICA IDENTITY FULL;

-- A job's lock lasts as long as the session that took it, which need not be the one that began the run: jobmonctl run takes it
-- again when its session was lost.
ALTER TABLE @schema@.job_lock ADD COLUMN pid integer, ADD COLUMN taken timestamptz;
