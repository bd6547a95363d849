-- Of some roles, those that exist: how many members each one has, and the other databases that use it. Parameter: the names of the roles.
SELECT r.rolname::text,
       (SELECT count(*) FROM pg_auth_members AS m WHERE m.roleid = r.oid),
       (SELECT string_agg(DISTINCT d.datname, ', ')
          FROM pg_shdepend AS s
          JOIN pg_database AS d ON d.oid = s.dbid
         WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND d.datname <> current_database())
  FROM pg_roles AS r
 WHERE r.rolname = ANY (%s)
   AND NOT r.rolsuper
   -- of the roles that bootstrap makes, only the link's may log in
   AND (NOT r.rolcanlogin OR r.rolname ~ '_link_[0-9]+$')
 ORDER BY r.rolname
