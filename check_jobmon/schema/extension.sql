-- The schema of the extension pg_jobmon, or NULL if this database doesn't have it; whether the extension has members; and the comment in
-- its control file, or NULL if the server has no such file.
SELECT n.nspname,
       EXISTS (SELECT FROM pg_depend AS d
                WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'),
       (SELECT coalesce(a.comment, '') FROM pg_available_extensions AS a WHERE a.name = 'pg_jobmon')
  FROM (VALUES ('pg_jobmon')) AS v(name)
  LEFT JOIN pg_extension AS e ON e.extname = v.name
  LEFT JOIN pg_namespace AS n ON n.oid = e.extnamespace
