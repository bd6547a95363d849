-- The link's roles that were left by databases that have been dropped. Parameter: the schema's name, as a regular expression.
SELECT r.rolname::text
  FROM pg_roles AS r
 WHERE r.rolname ~ ('^' || %s || '_link_[0-9]+$')
   AND NOT r.rolsuper
   AND substring(r.rolname FROM '[0-9]+$')::numeric NOT IN (SELECT d.oid::bigint FROM pg_database AS d)
 ORDER BY r.rolname
