-- The schema to migrate: the one with the name `source`; without that, the one of the extension pg_jobmon; without that, `schema`.
-- Its name; whether the role may act as its owner; the owner; whether bootstrap has made it; whether it is the extension's (an
-- extension without members is made by bootstrap, and doesn't count); the name of its table dblink_mapping, unless a role that is
-- neither the schema's owner nor a superuser owns it, and could say where the log is written. No row if there is no such schema.
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
