-- Makes the partitions of the times to come: for a run that has just gone to the default one, or for job_log_clear(). One session at a
-- time tries: by a lock on a table, because an advisory lock could be held by anybody. Where it doesn't get the locks that it needs, the
-- run stays there until the next call, bootstrap or job_log_clear().
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
