-- The schema to migrate: `source`; if that is NULL, the schema of the extension pg_jobmon; if that isn't installed, `schema`. Returns
-- the schema's name; whether the current role has the rights of its owner; the owner; whether bootstrap has created the schema; whether it
-- belongs to the extension (bootstrap can create an extension without members, which doesn't count); and the name of the table
-- dblink_mapping. That name is NULL if the table belongs to another role than the schema's owner or a superuser, because that role
-- could choose where the log is written. Returns no row if there is no such schema.
WITH extension AS (
    SELECT n.nspname
      FROM pg_extension AS e
      JOIN pg_namespace AS n ON n.oid = e.extnamespace
     WHERE e.extname = 'pg_jobmon'
       AND EXISTS (SELECT FROM pg_depend AS d
                    WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e')
)
SELECT n.nspname,
       pg_has_role(n.nspowner, 'USAGE'),
       pg_get_userbyid(n.nspowner),
       EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'schema_version'),
       n.nspname = (SELECT e.nspname FROM extension AS e) IS TRUE,
       (SELECT c.relname
          FROM pg_class AS c
          JOIN pg_roles AS r ON r.oid = c.relowner
         WHERE c.relnamespace = n.oid AND c.relname IN ('dblink_mapping', 'dblink_mapping_jobmon') AND c.relkind = 'r'
           AND (r.rolsuper OR r.oid = n.nspowner)
         ORDER BY c.relname DESC LIMIT 1)
  FROM pg_namespace AS n
 WHERE n.nspname = coalesce(%(source)s::text, (SELECT e.nspname FROM extension AS e), %(schema)s::text)
