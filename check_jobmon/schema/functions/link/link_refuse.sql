-- Raises the error for a call over the link that the logging functions did not send.
CREATE OR REPLACE FUNCTION @schema@.link_refuse() RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'this call was not signed by the job log''s functions'
        USING ERRCODE = 'insufficient_privilege', HINT = 'Call add_job() and its siblings: only they may use the link.';
END
$$;
COMMENT ON FUNCTION @schema@.link_refuse() IS 'Internal: raises the error for a call over the link that is not signed.';
