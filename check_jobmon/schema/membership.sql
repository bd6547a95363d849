-- Whether the role is a member of a predefined role, such as pg_monitor, and whether the current role may make it a member: up to
-- PostgreSQL 15, CREATEROLE is enough for that.
SELECT pg_has_role(r.oid, %(group)s, 'MEMBER'),
       pg_has_role(%(group)s, 'MEMBER WITH ADMIN OPTION')
           OR h.rolcreaterole AND current_setting('server_version_num')::integer < 160000
  FROM pg_roles AS r
  JOIN pg_roles AS h ON h.rolname = current_user
 WHERE r.rolname = %(role)s
