-- Whether a function, for example of another job log, uses the extension dblink that is installed in a given schema; no row if dblink isn't
-- there. Parameter: the name of the schema. The functions' bodies are searched for it, because PostgreSQL records no dependencies of them.
SELECT EXISTS (SELECT FROM pg_proc AS p WHERE strpos(p.prosrc, n.nspname) > 0)
  FROM pg_extension AS e
  JOIN pg_namespace AS n ON n.oid = e.extnamespace
 WHERE e.extname = 'dblink'
   AND n.nspname = %s
