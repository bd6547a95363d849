-- Makes the partitions that a run has just lacked, so that it went to the default one. One session at a time tries; where it doesn't
-- get the locks that it needs, the run stays there until the next call, bootstrap or job_log_clear().
CREATE OR REPLACE FUNCTION @schema@.link_partition() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    IF pg_try_advisory_xact_lock('job_log'::regclass::oid::bigint) THEN
        PERFORM make_partitions();
    END IF;
EXCEPTION WHEN OTHERS THEN
    RAISE LOG 'no partition was made for the job log: %', SQLERRM;
END
$$;
COMMENT ON FUNCTION @schema@.link_partition() IS 'Internal: makes the partitions that are missing, if it can.';
