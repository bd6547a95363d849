-- The statements that drop what bootstrap has made in a schema, but for the schema itself. Parameters: schema, routines, tables.
SELECT format('DROP TRIGGER %%I ON %%s', t.tgname, t.tgrelid::regclass)
  FROM pg_trigger AS t
  JOIN pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_proc AS p ON p.oid = t.tgfoid
 WHERE NOT t.tgisinternal
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
SELECT CASE c.relkind WHEN 'S' THEN 'DROP SEQUENCE ' ELSE 'DROP TABLE ' END || string_agg(c.oid::regclass::text, ', ')
  FROM pg_class AS c
 WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
   AND c.relname = ANY (%(tables)s)
   AND c.relkind IN ('r', 'S')
 GROUP BY c.relkind
