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

-- what programs with version 3 did not make yet, and programs with version 4 left behind
CREATE INDEX IF NOT EXISTS job_log_end_time_idx ON @schema@.job_log (end_time) WHERE end_time IS NOT NULL;
DROP ROUTINE IF EXISTS @schema@.link_mac(text);
