-- Whether the role is a member of one of PostgreSQL's own, such as pg_monitor, and whether bootstrap's role may make it one: until
-- PostgreSQL 15, CREATEROLE is enough.
SELECT pg_has_role(r.oid, %(group)s, 'MEMBER'),
       pg_has_role(%(group)s, 'MEMBER WITH ADMIN OPTION')
           OR h.rolcreaterole AND current_setting('server_version_num')::integer < 160000
  FROM pg_roles AS r
  JOIN pg_roles AS h ON h.rolname = current_user
 WHERE r.rolname = %(role)s
