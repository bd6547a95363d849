-- The roles that the link uses: its own, and the one in dblink_mapping, if it exists. For each, whether bootstrap has to GRANT it CONNECT
-- on this database, because that has not been granted to the role itself, and whether bootstrap may do so, as one value.
SELECT r.rolname::text,
       has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION')
           AND NOT EXISTS (SELECT
                             FROM pg_database AS d
                            CROSS JOIN aclexplode(d.datacl) AS a
                            WHERE d.datname = current_database() AND a.privilege_type = 'CONNECT' AND a.grantee = r.oid)
  FROM pg_roles AS r
 WHERE r.rolname = %(link)s
    OR r.rolname = (SELECT m.username FROM @schema@.dblink_mapping AS m)
