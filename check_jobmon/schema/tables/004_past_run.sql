-- The runs that add_past_run() has logged after their end. The key prevents that one is logged twice.

CREATE TABLE @schema@.past_run (
    key    uuid PRIMARY KEY,
    job_id bigint NOT NULL REFERENCES @schema@.job_log ON DELETE CASCADE
);
CREATE INDEX past_run_job_id_idx ON @schema@.past_run (job_id);
COMMENT ON TABLE @schema@.past_run IS
    'The runs that add_past_run() has logged, by the key that their spool file has: a file that is delivered again adds nothing.';
REVOKE ALL ON @schema@.past_run FROM PUBLIC;
