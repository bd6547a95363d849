-- The statements that drop what bootstrap has created in a schema, and revoke the rights of its roles, in the order of execution.
-- Parameters: schema, routines, tables (to be dropped), roles; keep: true if the schema is kept.
SELECT 'DROP EXTENSION pg_jobmon'
  FROM pg_extension AS e
 WHERE e.extname = 'pg_jobmon'
   AND e.extnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
   AND NOT EXISTS (SELECT FROM pg_depend AS d
                    WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e')
 UNION ALL
SELECT format('DROP TRIGGER %%I ON %%s', t.tgname, t.tgrelid::regclass)
  FROM pg_trigger AS t
  JOIN pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_proc AS p ON p.oid = t.tgfoid
 WHERE NOT t.tgisinternal
   -- not a partition's copy of its table's trigger
   AND t.tgparentid = 0
   AND c.relnamespace = p.pronamespace
   AND p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
   AND p.proname = ANY (%(routines)s)
 UNION ALL
SELECT 'DROP ROUTINE ' || string_agg(p.oid::regprocedure::text, ', ')
  FROM pg_proc AS p
 WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
   AND p.proname = ANY (%(routines)s)
HAVING count(*) > 0
 UNION ALL
(SELECT CASE c.relkind WHEN 'v' THEN 'DROP VIEW ' WHEN 'S' THEN 'DROP SEQUENCE ' ELSE 'DROP TABLE ' END
        || string_agg(c.oid::regclass::text, ', ')
   FROM pg_class AS c
  WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
    AND c.relname = ANY (%(tables)s)
    AND c.relkind IN ('r', 'p', 'S', 'v')
  GROUP BY c.relkind
  -- views first, because they read the tables
  ORDER BY c.relkind DESC)
 UNION ALL
SELECT format(CASE WHEN %(keep)s THEN 'DELETE FROM %%I.link' ELSE 'DROP SCHEMA %%I' END, %(schema)s)
 UNION ALL
SELECT format('REVOKE ALL ON %%s %%I FROM %%I', o.objects, %(schema)s, r.name)
  FROM unnest(%(roles)s::text[]) AS r(name)
 CROSS JOIN unnest(ARRAY['SCHEMA', 'ALL TABLES IN SCHEMA']) AS o(objects)
 WHERE %(keep)s
 UNION ALL
SELECT format('REVOKE CONNECT ON DATABASE %%I FROM %%I', current_database(), r.name)
  FROM unnest(%(roles)s::text[]) AS r(name)
