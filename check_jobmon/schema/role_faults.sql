-- What is wrong with a role to which bootstrap is about to grant rights, because somebody else has created or changed it, and the
-- statements that correct it. `login`: whether it is the link's role, which may log in, must not have members, and whose settings
-- bootstrap resets itself. The other roles are examined only as long as they don't have USAGE on the schema, and may have members that a
-- superuser or bootstrap's role has added.
SELECT f.fault, f.remedy
  FROM pg_roles AS r
 CROSS JOIN LATERAL (
        SELECT 'has the attribute ' || a.name, format('ALTER ROLE %%I NO%%s', r.rolname, a.name)
          FROM (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb),
                       ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls),
                       ('LOGIN', r.rolcanlogin AND NOT %(login)s::boolean)) AS a(name, has)
         WHERE a.has
         UNION ALL
        SELECT 'has settings of its own', format('ALTER ROLE %%I%%s RESET ALL', r.rolname, ' IN DATABASE ' || quote_ident(d.datname))
          FROM pg_db_role_setting AS s
          LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
         WHERE s.setrole = r.oid
           AND NOT %(login)s::boolean
         UNION ALL
        SELECT format('is a member of "%%s"', g.rolname), format('REVOKE %%I FROM %%I', g.rolname, r.rolname)
          FROM pg_auth_members AS m
          JOIN pg_roles AS g ON g.oid = m.roleid
         WHERE m.member = r.oid
           AND (g.rolname <> 'pg_monitor' OR %(login)s::boolean)
         UNION ALL
        SELECT format('has the member "%%s"%%s', g.rolname, CASE WHEN m.admin_option THEN ', who administers it' ELSE '' END),
               format('REVOKE %%I FROM %%I GRANTED BY %%I CASCADE', r.rolname, g.rolname, pg_get_userbyid(m.grantor))
          FROM pg_auth_members AS m
          JOIN pg_roles AS g ON g.oid = m.member
          LEFT JOIN pg_roles AS b ON b.oid = m.grantor
         WHERE m.roleid = r.oid
           AND NOT g.rolsuper
           AND g.rolname <> current_user
           AND pg_has_role(g.oid, (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = %(schema)s), 'MEMBER') IS NOT TRUE
           -- PostgreSQL 16 and newer record a superuser as the grantor of the ADMIN OPTION that a role's creator gets
           AND (%(login)s::boolean OR m.admin_option OR b.rolsuper IS NOT TRUE AND b.rolname IS DISTINCT FROM current_user)
       ) AS f(fault, remedy)
 WHERE r.rolname = %(role)s
   AND (%(login)s::boolean
        -- granted to the role itself, not to PUBLIC
        OR NOT EXISTS (SELECT
                         FROM pg_namespace AS n
                        CROSS JOIN aclexplode(n.nspacl) AS a
                        WHERE n.nspname = %(schema)s AND a.grantee = r.oid AND a.privilege_type = 'USAGE'))
