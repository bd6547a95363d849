-- The error for whoever sends something else over the link than the logging functions do.
CREATE OR REPLACE FUNCTION @schema@.link_refuse() RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'this call was not signed by the job log''s functions'
        USING ERRCODE = 'insufficient_privilege', HINT = 'Call add_job() and its siblings: they are what uses the link.';
END
$$;
COMMENT ON FUNCTION @schema@.link_refuse() IS 'Internal: refuses a call that was sent over the link and is not signed.';
