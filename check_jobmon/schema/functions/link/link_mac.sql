-- Signs a message with the link's key, as HMAC does (RFC 2104): link_call() signs, link_serve() and link_answer() verify.
-- PL/pgSQL, because it keeps the plan of its query; up to PostgreSQL 17 a function in SQL plans anew at each call.
CREATE OR REPLACE FUNCTION @schema@.link_mac(p_message text) RETURNS text
LANGUAGE plpgsql STABLE STRICT
AS $$
BEGIN
    RETURN (SELECT pg_catalog.encode(
                       pg_catalog.sha256(l.mac_key OPERATOR(pg_catalog.||) pg_catalog.sha256(
                           l.mac_key OPERATOR(pg_catalog.||)
                           pg_catalog.convert_to(p_message, pg_catalog.getdatabaseencoding()))), 'hex')
              FROM @schema@.link AS l);
END
$$;
COMMENT ON FUNCTION @schema@.link_mac(text) IS 'Internal: signs a message with the link''s key.';
