-- The GRANTs that give roles the rights that they have on the old schema: membership in the roles that bootstrap creates.
-- A right of PUBLIC counts for each role that may use the schema. The right to log counts only if the role has also logged, or may read
-- dblink_mapping, because logging needs that. If PUBLIC may also use the schema, only the roles that have logged get the right to log, and
-- a comment in the output says so. The new schema's owner and superusers need no GRANT.
-- @home@: the old schema's oid; @old_name@: its name, as text; @mapping@: the name of its table dblink_mapping. Parameters: `schema`,
-- the new schema's name; and `log`, `monitor` and `admin`, the names of the functions that each of these roles may execute.
WITH usage AS (
    SELECT a.grantee
      FROM pg_namespace AS n
     CROSS JOIN aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
     WHERE n.oid = @home@ AND a.privilege_type = 'USAGE'
), granted AS (
    SELECT a.grantee, s.suffix, CASE WHEN p.prosecdef THEN '' ELSE s.privilege END AS privilege
      FROM (VALUES ('log', '', %(log)s::text[]), ('read', 'SELECT', %(monitor)s::text[]), ('admin', 'DELETE', %(admin)s::text[]),
                   ('monitor', 'SELECT', ARRAY['check_job_status'])) AS s(suffix, privilege, names)
      JOIN pg_proc AS p ON p.pronamespace = @home@ AND p.proname = ANY (s.names)
     CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
     UNION
    SELECT a.grantee, s.suffix, ''
      FROM (VALUES ('job_log', 'SELECT', 'monitor'), ('job_check_config', 'UPDATE', 'admin'),
                   ('job_check_log', 'DELETE', 'admin')) AS s(name, privilege, suffix)
      JOIN pg_class AS c ON c.relnamespace = @home@ AND c.relname = s.name
     CROSS JOIN aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
     WHERE a.privilege_type = s.privilege
), may AS (
    SELECT u.grantee, g.suffix, g.privilege
      FROM granted AS g
     CROSS JOIN usage AS u
     WHERE g.grantee = 0
       AND (g.suffix <> 'log'
            OR u.grantee = 0
            OR EXISTS (SELECT FROM pg_class AS c
                        WHERE c.relnamespace = @home@ AND c.relname = '@mapping@' AND has_table_privilege(u.grantee, c.oid, 'SELECT'))
            OR EXISTS (SELECT FROM @schema@.job_log AS l WHERE l.owner = pg_get_userbyid(u.grantee)))
     UNION
    SELECT g.grantee, g.suffix, g.privilege FROM granted AS g WHERE g.grantee <> 0
     UNION
    SELECT r.oid, g.suffix, g.privilege
      FROM granted AS g
      JOIN usage AS u ON u.grantee = 0
     CROSS JOIN (SELECT DISTINCT l.owner FROM @schema@.job_log AS l) AS l
      JOIN pg_roles AS r ON r.rolname = l.owner
     WHERE g.grantee = 0 AND g.suffix = 'log'
), pair AS (
    SELECT DISTINCT r.rolname, m.suffix
      FROM may AS m
      LEFT JOIN pg_roles AS r ON r.oid = m.grantee
     WHERE m.grantee = 0 AND m.suffix = 'log' AND m.privilege = ''
        OR NOT r.rolsuper
           AND r.oid <> (SELECT n.nspowner FROM pg_namespace AS n WHERE n.oid = '@schema@'::regnamespace)
           AND has_schema_privilege(r.oid, @home@, 'USAGE')
           AND (m.privilege = '' OR has_table_privilege(r.oid, @old_name@ || '.job_log', m.privilege))
)
SELECT '-- these give the roles the rights that they had; --grant runs them:' WHERE EXISTS (SELECT FROM pair)
 UNION ALL
(SELECT CASE WHEN p.rolname IS NULL
             THEN '-- everybody could log (PUBLIC): of these, the roles that have logged so far are named here'
             ELSE format('GRANT %%I TO %%I;', %(schema)s || '_' || p.suffix, p.rolname) END
   FROM pair AS p
  -- admin includes the rights of the other roles, and monitor those of read
  WHERE NOT EXISTS (SELECT FROM pair AS o
                     WHERE o.rolname = p.rolname
                       AND (o.suffix = 'admin' AND p.suffix <> 'admin' OR o.suffix = 'monitor' AND p.suffix = 'read'))
  ORDER BY p.rolname NULLS FIRST, p.suffix)
