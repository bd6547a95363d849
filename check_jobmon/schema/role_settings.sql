-- The settings of a role, by database; those that it has in all databases have NULL.
SELECT d.datname::text, s.setconfig
  FROM pg_db_role_setting AS s
  JOIN pg_roles AS r ON r.oid = s.setrole
  LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
 WHERE r.rolname = %(role)s
