-- Keeps loggers away from the tables for the moment in which these become partitions. The sequences are locked first, in the order in
-- which loggers use them: a transaction that has used a sequence locks it until its end, and a logger that waits for a table would keep
-- that lock.
-- The sequences have NO CYCLE already: ALTER SEQUENCE only locks them. schema_version is locked first, as bootstrap does: so one of them
-- waits for the other, and sees what that has created.
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
