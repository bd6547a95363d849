-- What the link runs for an add_job() in a read-only transaction, which can't allocate the id itself.
CREATE OR REPLACE FUNCTION @schema@.link_next_job_id() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
    SELECT nextval('job_log_job_id_seq')
$$;
COMMENT ON FUNCTION @schema@.link_next_job_id() IS 'Internal: a job_id for add_job() in a read-only transaction.';
