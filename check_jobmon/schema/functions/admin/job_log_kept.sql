-- All runs that job_log_clear() would keep, whatever its interval.
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
    'Internal: the last completed run of each active configured job, as long as its thresholds reach back to it or to `since`.';
