-- About a schema: whether the current role has its owner's rights, the owner, and whether bootstrap has created the schema.
-- Parameter: its name.
SELECT pg_has_role(n.nspowner, 'USAGE'),
       pg_get_userbyid(n.nspowner)::text,
       EXISTS (SELECT FROM pg_class AS c
                WHERE c.relnamespace = n.oid AND c.relname = 'schema_version' AND c.relkind = 'r' AND c.relowner = n.nspowner)
  FROM pg_namespace AS n
 WHERE n.nspname = %s
