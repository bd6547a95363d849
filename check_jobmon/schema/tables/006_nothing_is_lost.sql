-- So that nothing is lost if settings are unusual, clocks are wrong or databases are restored: a key for every table, and checks of values.

-- The key that signs the calls over the link, in two halves. They are stored in sequences, because an expression can read those with
-- pg_sequence_last_value(). A table can only be read by a query, which made each logged job slower by a sixth.
ALTER TABLE @schema@.link DROP COLUMN mac_key;
CREATE SEQUENCE @schema@.link_key_1 MINVALUE -9223372036854775808;
CREATE SEQUENCE @schema@.link_key_2 MINVALUE -9223372036854775808;
COMMENT ON SEQUENCE @schema@.link_key_1 IS
    'Half of the key that signs the calls over the link, so that no other user of the link can log in a role''s name. '
    'Bootstrap makes it. Only the owner may read it.';
COMMENT ON SEQUENCE @schema@.link_key_2 IS 'The other half of that key.';
REVOKE ALL ON SEQUENCE @schema@.link_key_1, @schema@.link_key_2 FROM PUBLIC;
DROP ROUTINE IF EXISTS @schema@.link_answer(text, text);
DROP ROUTINE IF EXISTS @schema@.link_serve(text, text);

-- replaced by job_log_ended and job_log_added
DROP TRIGGER IF EXISTS job_log_alert ON @schema@.job_log;

-- With a negative sensitivity, a job would alert without any failure, and nothing could end that alert. Existing rows that have one
-- get zero: the first failure alerts.
UPDATE @schema@.job_check_config SET sensitivity = 0 WHERE sensitivity < 0;
ALTER TABLE @schema@.job_check_config
    ADD CONSTRAINT job_check_config_sensitivity CHECK (sensitivity >= 0);
COMMENT ON COLUMN @schema@.job_log.pid IS
    'process id of the backend that ran the job; negative if that backend is on another server, a standby of this one';

-- replaced by link_close(bigint)
DROP ROUTINE IF EXISTS @schema@.link_close();
-- replaced by one that returns two columns
DROP ROUTINE IF EXISTS @schema@.link_conninfo();

-- A key for every table: if a publication is FOR ALL TABLES, rows of a table without a key can be neither updated nor deleted. Until
-- job_check_log has its key, whole rows serve as one. Of several rows for a run, the one with the worst code is kept.
ALTER TABLE @schema@.job_check_log REPLICA IDENTITY FULL;
DELETE FROM @schema@.job_check_log AS c
      USING @schema@.job_check_log AS d
      WHERE d.job_id = c.job_id AND (d.alert_code, d.ctid) > (c.alert_code, c.ctid);
ALTER TABLE @schema@.job_check_log ADD PRIMARY KEY (job_id);
ALTER TABLE @schema@.job_check_log REPLICA IDENTITY DEFAULT;
-- IF EXISTS, because a site may have dropped it
DROP INDEX IF EXISTS @schema@.job_check_log_job_id_idx;
ALTER TABLE @schema@.link ADD PRIMARY KEY (role_name);
-- it can't have a key, because any of its columns can be NULL
ALTER TABLE @schema@.dblink_mapping REPLICA IDENTITY FULL;

-- A job's lock lasts as long as the session that took it, which may not be the one that started the run: jobmonctl run takes the
-- lock again in a new session after it has lost one.
ALTER TABLE @schema@.job_lock ADD COLUMN pid integer, ADD COLUMN taken timestamptz;
