-- What a role without a superuser's rights may need from a superuser to run bootstrap: each with a statement for the superuser, and how
-- bootstrap treats it: 'try' (executes the statement itself, if it may), 'lacking' (may not, and can't go on), 'useful' (may not, but goes
-- on), 'along' (needed only if a superuser executes the other statements of the same part). `roles`, `groups`: the roles that users become
-- members of, and the role that each of them has to be a member of; `link`: the link's role. No row if the current role doesn't have the
-- rights of the schema's owner.
WITH here AS (
    SELECT h.*, n.oid AS home, o.rolname AS owner, l.oid AS link_oid, s.version,
           h.rolcreaterole AND (s.version < 160000 OR pg_has_role(l.oid, 'MEMBER WITH ADMIN OPTION')) AS may_alter
      FROM pg_roles AS h
     CROSS JOIN (SELECT current_setting('server_version_num')::integer) AS s(version)
      LEFT JOIN pg_namespace AS n ON n.nspname = %(schema)s
      JOIN pg_roles AS o ON o.oid = coalesce(n.nspowner, h.oid)
      LEFT JOIN pg_roles AS l ON l.rolname = %(link)s
     WHERE h.rolname = current_user
       AND NOT h.rolsuper
       AND pg_has_role(o.oid, 'USAGE')
)
SELECT p.part, p.what, p.statement, p.kind
  FROM here AS h
 CROSS JOIN LATERAL (
        SELECT 1, 'schema', 'create a schema in this database', 'lacking',
               format('CREATE SCHEMA %%I AUTHORIZATION %%I', %(schema)s::text, h.rolname)
         WHERE h.home IS NULL
           AND NOT has_database_privilege(current_database(), 'CREATE')
         UNION ALL
        SELECT d.place, 'dblink', 'install dblink', d.kind, format(d.statement, %(schema)s || '_dblink', h.owner)
          FROM (VALUES (2, 'try', 'CREATE SCHEMA %%I'), (3, 'try', 'CREATE EXTENSION dblink SCHEMA %%I'),
                       (4, 'along', 'GRANT USAGE ON SCHEMA %%I TO %%I')) AS d(place, kind, statement)
         WHERE NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'dblink')
         UNION ALL
        SELECT 5, 'link', 'create the link''s role', 'try', format('CREATE ROLE %%I LOGIN NOINHERIT', %(link)s::text)
         WHERE h.link_oid IS NULL
         UNION ALL
        -- only until the role has its settings and its password; afterwards, no other role needs its rights
        SELECT 6, 'link', 'give the link''s role its password',
               CASE WHEN h.link_oid IS NULL OR h.may_alter OR pg_has_role(h.link_oid, 'MEMBER')
                         OR to_regclass(format('%%I.link', %(schema)s::text)) IS NOT NULL THEN 'along' ELSE 'lacking' END,
               format('GRANT %%I TO %%I', %(link)s::text, h.rolname)
         UNION ALL
        SELECT 7, 'link', 'let the link''s role connect to this database', 'lacking',
               format('GRANT CONNECT ON DATABASE %%I TO %%I', current_database(), %(link)s::text)
         WHERE NOT has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION')
           AND NOT CASE WHEN h.link_oid IS NULL THEN has_database_privilege('public', current_database(), 'CONNECT')
                        ELSE has_database_privilege(h.link_oid, current_database(), 'CONNECT') END
         UNION ALL
        SELECT 8, 'link', format('set %%s for the link''s role', s.name),
               CASE WHEN s.is_needed AND current_setting(s.name) <> s.value THEN 'lacking' ELSE 'useful' END,
               format('ALTER ROLE %%I SET %%I = %%L', %(link)s::text, s.name, s.value)
          FROM @schema/link_settings.sql@
         WHERE s.takes_superuser
           AND current_setting(s.name, true) IS NOT NULL
           AND NOT (coalesce(h.may_alter, h.rolcreaterole) AND @may_set@)
           AND NOT EXISTS (SELECT
                             FROM pg_db_role_setting AS c
                            CROSS JOIN LATERAL unnest(c.setconfig) AS e(entry)
                            WHERE c.setrole = h.link_oid
                              AND c.setdatabase = 0
                              AND (e.entry = s.name || '=' || s.value OR s.is_a_choice AND starts_with(e.entry, s.name || '=')))
         UNION ALL
        SELECT 10 * r.number, r.name, format('create role "%%s"', r.name), 'try', format('CREATE ROLE %%I NOLOGIN', r.name)
          FROM unnest(%(roles)s::text[]) WITH ORDINALITY AS r(name, number)
         WHERE NOT EXISTS (SELECT FROM pg_roles AS x WHERE x.rolname = r.name)
         UNION ALL
        SELECT 10 * r.number + 1, r.name, format('make role "%%s" a member of %%s', r.name, r.wanted), 'useful',
               format('GRANT %%I TO %%I', r.wanted, r.name)
          FROM unnest(%(roles)s::text[], %(groups)s::text[]) WITH ORDINALITY AS r(name, wanted, number)
         WHERE r.wanted IS NOT NULL
           AND NOT (pg_has_role(r.wanted, 'MEMBER WITH ADMIN OPTION') OR h.rolcreaterole AND h.version < 160000)
           AND NOT EXISTS (SELECT FROM pg_roles AS x WHERE x.rolname = r.name AND pg_has_role(x.oid, r.wanted, 'MEMBER'))
         UNION ALL
        SELECT 9, 'settings', 'see where the server''s socket is, because otherwise the link has to use TCP', 'useful',
               format('GRANT pg_read_all_settings TO %%I', h.owner)
         WHERE NOT pg_has_role(h.owner, 'pg_read_all_settings', 'USAGE')
       ) AS p(place, part, what, kind, statement)
 ORDER BY p.place, p.statement
