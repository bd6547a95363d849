-- Whether a function uses dblink in the schema whose name is the parameter; no row if dblink isn't there. A function's calls, such
-- as those of another job log's, are a text, for which PostgreSQL keeps no dependency.
SELECT EXISTS (SELECT FROM pg_proc AS p WHERE strpos(p.prosrc, n.nspname) > 0)
  FROM pg_extension AS e
  JOIN pg_namespace AS n ON n.oid = e.extnamespace
 WHERE e.extname = 'dblink'
   AND n.nspname = %s
