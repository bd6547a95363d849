-- Makes the partitions that are needed now and next: called when a run has just gone to the default partition, and by job_log_clear().
-- Only one session at a time tries this. The lock is one on a table, because any role could hold an advisory lock. If the function doesn't
-- get the locks that it needs, the run stays in the default partition until the next call, bootstrap or job_log_clear().
CREATE OR REPLACE FUNCTION @schema@.link_partition() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    BEGIN
        LOCK TABLE ONLY partitioning IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN;
    END;
    PERFORM make_partitions();
EXCEPTION WHEN OTHERS THEN
    RAISE LOG 'no partition was made for the job log: %', SQLERRM;
END
$$;
COMMENT ON FUNCTION @schema@.link_partition() IS 'Internal: makes the partitions that are missing, if it can.';
