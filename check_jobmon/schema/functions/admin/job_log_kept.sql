-- All runs that job_log_clear() would keep, whatever its interval. job_log_clear() calls job_log_kept_before(). This function stays because
-- schemas of version 10 have it, and bootstrap would refuse it there as a function that is not check_jobmon's.
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
    'Internal: the last completed run of each active configured job, and, unless the job has a schedule, as long as its thresholds reach '
    'back to it or to `since`; and the last run that has ended a silence until the next run.';
