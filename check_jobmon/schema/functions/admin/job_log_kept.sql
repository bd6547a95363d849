-- All runs that job_log_clear() would keep, whatever its interval. job_log_clear() itself calls job_log_kept_before(). This function stays
-- because schemas of version 10 have it: bootstrap would refuse it there as a function that isn't check_jobmon's.
CREATE OR REPLACE FUNCTION @schema@.job_log_kept(OUT job_id bigint, OUT job_name text, OUT start_time timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT * FROM job_log_kept_before('infinity');
END
$$;
COMMENT ON FUNCTION @schema@.job_log_kept() IS
    'Internal: all runs that job_log_clear() would keep, whatever its interval, apart from runs under way. See job_log_kept_before().';
