-- Signs a message with the link's key, as HMAC does (RFC 2104): add_job() signs, link_add_job() verifies.
CREATE OR REPLACE FUNCTION @schema@.link_mac(p_message text) RETURNS text
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
    SELECT encode(sha256(l.mac_key || sha256(l.mac_key || convert_to(p_message, 'UTF8'))), 'hex')
      FROM link AS l
$$;
COMMENT ON FUNCTION @schema@.link_mac(text) IS 'Internal: signs a message with the link''s key.';
