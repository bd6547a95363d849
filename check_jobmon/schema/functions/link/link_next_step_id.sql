-- What the link runs for an add_step() in a read-only transaction, which can't allocate the id itself.
CREATE OR REPLACE FUNCTION @schema@.link_next_step_id() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
    SELECT nextval('job_detail_step_id_seq')
$$;
COMMENT ON FUNCTION @schema@.link_next_step_id() IS 'Internal: a step_id for add_step() in a read-only transaction.';
