-- The owner of the schema, the schema's oid, whether the session has the owner's rights, and whether the extension pg_jobmon is in the
-- schema. No row if there is no such schema. An extension pg_jobmon without members doesn't count: bootstrap creates such a one.
SELECT pg_get_userbyid(n.nspowner), n.oid, pg_has_role(n.nspowner, 'USAGE'),
       EXISTS (SELECT
                 FROM pg_extension AS e
                 JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
                WHERE e.extnamespace = n.oid AND e.extname = 'pg_jobmon')
  FROM pg_namespace AS n
 WHERE n.nspname = %(schema)s
