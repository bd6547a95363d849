-- The roles that use the link: its own, and the one in dblink_mapping if it exists. With each, whether the right to CONNECT
-- to this database has been granted to the role itself.
SELECT r.rolname::text,
       EXISTS (SELECT
                 FROM pg_database AS d
                CROSS JOIN aclexplode(d.datacl) AS a
                WHERE d.datname = current_database() AND a.privilege_type = 'CONNECT' AND a.grantee = r.oid)
  FROM pg_roles AS r
 WHERE r.rolname = %(link)s
    OR r.rolname = (SELECT m.username FROM @schema@.dblink_mapping AS m)
