-- How long a partition of the log is, where job_log and job_detail are partitioned: see partitioned.sql.

CREATE TABLE @schema@.partitioning (
    every text NOT NULL CONSTRAINT partitioning_every CHECK (every IN ('day', 'week', 'month'))
);
CREATE UNIQUE INDEX partitioning_one_row ON @schema@.partitioning ((true));
ALTER TABLE @schema@.partitioning REPLICA IDENTITY FULL;
COMMENT ON TABLE @schema@.partitioning IS
    'How long the next partitions of job_log and job_detail are. No row: the tables are not partitioned, or somebody else makes the '
    'partitions. Written by jobmonctl bootstrap --partition and jobmonctl partition.';
REVOKE ALL ON @schema@.partitioning FROM PUBLIC;

-- an index that early programs for version 3 did not create, and a function that programs for version 4 did not drop
CREATE INDEX IF NOT EXISTS job_log_end_time_idx ON @schema@.job_log (end_time) WHERE end_time IS NOT NULL;
DROP ROUTINE IF EXISTS @schema@.link_mac(text);

COMMENT ON COLUMN @schema@.job_log.job_id IS 'the number of the run';
COMMENT ON COLUMN @schema@.job_log.start_time IS 'when the run began';
COMMENT ON COLUMN @schema@.job_detail.job_id IS 'the run that the step belongs to';
COMMENT ON COLUMN @schema@.job_detail.step_id IS 'the number of the step';
COMMENT ON COLUMN @schema@.job_detail.start_time IS 'when the step began';
COMMENT ON COLUMN @schema@.job_detail.end_time IS 'NULL while the step is open';
COMMENT ON COLUMN @schema@.job_detail.status IS 'NULL while the step is open, then what update_step() was given: usually a text in job_status_text';
COMMENT ON COLUMN @schema@.job_check_log.job_id IS 'the run that failed';
COMMENT ON COLUMN @schema@.job_check_log.job_name IS 'its job, as in job_log';
COMMENT ON COLUMN @schema@.job_check_log.alert_code IS 'how the run failed: 2 is WARNING, 3 is CRITICAL';
COMMENT ON COLUMN @schema@.job_status_text.alert_code IS '1, 2 or 3';
COMMENT ON COLUMN @schema@.job_status_text.alert_text IS 'the word that is shown for the code: OK, WARNING or CRITICAL, unless the site has changed it';
COMMENT ON COLUMN @schema@.job_status_text.error_code IS 'the same as alert_code';
COMMENT ON COLUMN @schema@.job_status_text.error_text IS 'the same as alert_text';
COMMENT ON COLUMN @schema@.job_silence.silence_id IS 'the number of the silence';
COMMENT ON COLUMN @schema@.job_silence.starts IS 'when the silence begins';
COMMENT ON COLUMN @schema@.job_silence.ends IS 'when the silence ends, unless something ends it earlier';
COMMENT ON COLUMN @schema@.job_silence.reason IS 'why the jobs are silenced, as given to silence() or jobmonctl silence';
COMMENT ON COLUMN @schema@.job_silence.created IS 'when the silence was created';
COMMENT ON COLUMN @schema@.job_silence.created_by IS 'the role that created the silence';
COMMENT ON COLUMN @schema@.job_silence.ended_by IS 'the role that ended the silence early';
COMMENT ON COLUMN @schema@.dblink_mapping.username IS 'the role to log in as';
COMMENT ON COLUMN @schema@.dblink_mapping.port IS 'the port to connect to';
COMMENT ON COLUMN @schema@.dblink_mapping.pwd IS 'the password of that role';
COMMENT ON COLUMN @schema@.dblink_mapping.host IS 'the host to connect to. It is trusted without verification';
