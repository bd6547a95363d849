-- Generates the link's password, and the key that signs the calls over the link. This is done on the server (gen_random_uuid() has 122
-- random bits), so that they appear in no log of statements. setval() can't be rolled back, but ALTER SEQUENCE RESTART before it can, and
-- the new value with it.
DELETE FROM @schema@.link;
INSERT INTO @schema@.link (role_name, password)
     SELECT '@schema_name@_link_' || oid, encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex')
       FROM pg_database
      WHERE datname = current_database();
ALTER SEQUENCE @schema@.link_key_1 RESTART;
ALTER SEQUENCE @schema@.link_key_2 RESTART;
SELECT setval('@schema@.link_key_1', ('x' || encode(sha256(uuid_send(gen_random_uuid())), 'hex'))::bit(64)::bigint) IS NULL,
       setval('@schema@.link_key_2', ('x' || encode(sha256(uuid_send(gen_random_uuid())), 'hex'))::bit(64)::bigint) IS NULL;
