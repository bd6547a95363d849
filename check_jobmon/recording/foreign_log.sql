-- A row if the job log in the schema (@name@) is that of the extension pg_jobmon, whose functions have the same names. Only the job log of
-- check_jobmon has the table schema_version.
SELECT true
  FROM pg_namespace AS n
 WHERE n.nspname = @name@
   AND EXISTS (SELECT FROM pg_proc AS p WHERE p.pronamespace = n.oid AND p.proname = 'add_job')
   AND NOT EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'schema_version')
