-- Whom the schema belongs to, its oid, whether the session has the rights of that role, and whether it holds the extension
-- pg_jobmon. No row if there is no such schema. An extension of that name without members is the one that bootstrap makes.
SELECT pg_get_userbyid(n.nspowner), n.oid, pg_has_role(n.nspowner, 'USAGE'),
       EXISTS (SELECT
                 FROM pg_extension AS e
                 JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
                WHERE e.extnamespace = n.oid AND e.extname = 'pg_jobmon')
  FROM pg_namespace AS n
 WHERE n.nspname = %(schema)s
