-- Keeps loggers away from the tables while these become partitions: for a moment. First from the sequences, in the order in which
-- loggers use them: a transaction that has taken a number holds a lock until its end, and a logger that waits for a table would keep it.
-- NO CYCLE is only for the lock. And before all of them from schema_version, as bootstrap: each of the two finds what the other has made.
LOCK TABLE ONLY @schema@.schema_version IN SHARE ROW EXCLUSIVE MODE;
ALTER SEQUENCE @schema@.job_log_job_id_seq NO CYCLE;
ALTER SEQUENCE @schema@.job_detail_step_id_seq NO CYCLE;
LOCK TABLE @schema@.job_detail, @schema@.job_log, @schema@.cancelled_job, @schema@.job_lock, @schema@.past_run IN ACCESS EXCLUSIVE MODE;
DO $$
BEGIN
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = '@schema@.job_log'::regclass) = 'p' THEN
        RAISE wrong_object_type USING MESSAGE = 'partitioned meanwhile';
    END IF;
END
$$
