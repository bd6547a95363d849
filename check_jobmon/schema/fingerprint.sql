-- Everything that each bootstrap applies again, as one value: functions, views, rights, comments on functions, triggers, constraints, and
-- the attributes, settings and memberships of the roles. If it is equal before and after a bootstrap, this has changed nothing.
SELECT array_agg(t.state ORDER BY t.state)
  FROM (SELECT concat_ws(E'\n', pg_get_functiondef(p.oid), p.proacl, obj_description(p.oid, 'pg_proc'))
          FROM pg_proc AS p
         WHERE p.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
           AND p.prokind IN ('f', 'p')
         UNION ALL
        SELECT concat_ws(' ', pg_get_triggerdef(g.oid), g.tgenabled)
          FROM pg_trigger AS g
          JOIN pg_class AS c ON c.oid = g.tgrelid
         WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
         UNION ALL
        SELECT concat_ws(' ', k.conrelid::regclass, k.conname)
          FROM pg_constraint AS k
         WHERE k.connamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
         UNION ALL
        SELECT concat_ws(' ', n.nspname, n.nspacl) FROM pg_namespace AS n WHERE n.nspname = %(schema)s
         UNION ALL
        SELECT concat_ws(' ', d.datname, d.datacl) FROM pg_database AS d WHERE d.datname = current_database()
         UNION ALL
        SELECT concat_ws(' ', c.relname, c.relacl, c.reloptions, CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END,
                         (SELECT string_agg(a.attacl::text, ' ' ORDER BY a.attnum) FROM pg_attribute AS a
                           WHERE a.attrelid = c.oid))
          FROM pg_class AS c
         WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
         UNION ALL
        SELECT concat_ws(' ', r.rolname, r.rolcanlogin, r.rolsuper, r.rolinherit,
                         ARRAY(SELECT concat_ws(' ', s.setdatabase, s.setconfig) FROM pg_db_role_setting AS s
                                WHERE s.setrole = r.oid ORDER BY 1),
                         ARRAY(SELECT m.roleid FROM pg_auth_members AS m WHERE m.member = r.oid ORDER BY 1))
          FROM pg_roles AS r
         WHERE r.rolname LIKE %(schema)s || '\_%%'
       ) AS t(state)
