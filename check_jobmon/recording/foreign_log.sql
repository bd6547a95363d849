-- A row if the schema (@name@) has a job log that isn't check_jobmon's: the extension pg_jobmon's, whose functions have the same names.
-- Only check_jobmon's has the table schema_version.
SELECT true
  FROM pg_namespace AS n
 WHERE n.nspname = @name@
   AND EXISTS (SELECT FROM pg_proc AS p WHERE p.pronamespace = n.oid AND p.proname = 'add_job')
   AND NOT EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'schema_version')
