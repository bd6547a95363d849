-- The roles that use the link: its own, and the one in dblink_mapping if it exists. With each, whether bootstrap has to grant it the
-- right to CONNECT to this database, and may: it hasn't been granted to the role itself.
SELECT r.rolname::text,
       has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION')
           AND NOT EXISTS (SELECT
                             FROM pg_database AS d
                            CROSS JOIN aclexplode(d.datacl) AS a
                            WHERE d.datname = current_database() AND a.privilege_type = 'CONNECT' AND a.grantee = r.oid)
  FROM pg_roles AS r
 WHERE r.rolname = %(link)s
    OR r.rolname = (SELECT m.username FROM @schema@.dblink_mapping AS m)
