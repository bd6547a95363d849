-- What the catalogs have of the schema jobmon, as rows of kind, name and facts, so that two databases of one server can be compared:
-- relations, columns, constraints, indexes, triggers, rules, policies, functions, types, their owners, comments and rights, default
-- privileges, and the roles. The schema's owner and the link's role have the same names in all. Partitions are left out: each has its own times.
WITH home AS (
    SELECT n.oid, n.nspacl, n.nspowner,
           'jobmon_link_' || (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) AS link
      FROM pg_namespace AS n
     WHERE n.nspname = 'jobmon'
), relation AS (
    SELECT c.* FROM home AS h JOIN pg_class AS c ON c.relnamespace = h.oid WHERE c.relkind NOT IN ('i', 'I') AND NOT c.relispartition
), thing (classid, objid, kind, name, owner, acl, acl_kind, facts) AS (
    SELECT 'pg_namespace'::regclass, h.oid, 'schema', 'jobmon', h.nspowner, h.nspacl, 'n'::"char", '' FROM home AS h
     UNION ALL
    SELECT 'pg_class'::regclass, c.oid, 'pg_class', c.relname::text, c.relowner, c.relacl, CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char",
           concat_ws(' ', c.relkind, c.relpersistence, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
                     CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END)
      FROM relation AS c
     UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, 'pg_proc', format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)), p.proowner, p.proacl, 'f',
           pg_get_functiondef(p.oid)
      FROM home AS h
      JOIN pg_proc AS p ON p.pronamespace = h.oid
     UNION ALL
    SELECT 'pg_constraint'::regclass, k.oid, 'pg_constraint', format('%s of %s', k.conname, c.relname), NULL, NULL, NULL,
           concat_ws(' ', pg_get_constraintdef(k.oid), k.convalidated, k.condeferrable, k.condeferred)
      FROM relation AS c
      JOIN pg_constraint AS k ON k.conrelid = c.oid
     UNION ALL
    SELECT 'pg_trigger'::regclass, t.oid, 'pg_trigger', format('%s of %s', t.tgname, c.relname), NULL, NULL, NULL,
           concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
      FROM relation AS c
      JOIN pg_trigger AS t ON t.tgrelid = c.oid
     WHERE NOT t.tgisinternal
     UNION ALL
    SELECT 'pg_class'::regclass, i.indexrelid, 'pg_index', i.indexrelid::regclass::text, NULL, NULL, NULL,
           concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisprimary, i.indisvalid, i.indisreplident)
      FROM relation AS c
      JOIN pg_index AS i ON i.indrelid = c.oid
     UNION ALL
    SELECT 'pg_policy'::regclass, p.oid, 'pg_policy', format('%s of %s', p.polname, c.relname), NULL, NULL, NULL,
           concat_ws(' ', p.polcmd, p.polpermissive, p.polroles, pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid))
      FROM relation AS c
      JOIN pg_policy AS p ON p.polrelid = c.oid
     UNION ALL
    SELECT 'pg_rewrite'::regclass, r.oid, 'pg_rewrite', format('%s of %s', r.rulename, c.relname), NULL, NULL, NULL, pg_get_ruledef(r.oid)
      FROM relation AS c
      JOIN pg_rewrite AS r ON r.ev_class = c.oid
     UNION ALL
    SELECT 'pg_type'::regclass, t.oid, 'pg_type', t.typname::text, t.typowner, t.typacl, 'T', t.typtype::text
      FROM home AS h
      JOIN pg_type AS t ON t.typnamespace = h.oid
     WHERE t.typrelid NOT IN (SELECT c.oid FROM pg_class AS c WHERE c.relispartition)
       AND NOT EXISTS (SELECT FROM pg_type AS e WHERE e.typarray = t.oid)
), fact (kind, name, facts) AS (
    SELECT t.kind, t.name,
           concat_ws(E'\n', t.facts, 'owner ' || CASE WHEN t.owner <> h.nspowner THEN pg_get_userbyid(t.owner) END,
                     'comment ' || obj_description(t.objid, t.classid::regclass::text::name))
      FROM home AS h
     CROSS JOIN thing AS t
     UNION ALL
    -- in an order of their own: who was granted something first is of no interest
    SELECT 'right', format('%s on %s %s', CASE WHEN a.grantee <> h.nspowner THEN pg_get_userbyid(a.grantee) END, t.kind, t.name),
           concat_ws(' ', a.privilege_type, a.is_grantable)
      FROM home AS h
     CROSS JOIN thing AS t
     CROSS JOIN aclexplode(coalesce(t.acl, acldefault(t.acl_kind, t.owner))) AS a
     UNION ALL
    SELECT 'pg_attribute', format('%s of %s', a.attname, c.relname),
           concat_ws(' ', row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod), a.attnotnull,
                     a.attidentity, a.attgenerated, a.attcollation::regcollation, a.attacl, a.attstorage, a.attoptions,
                     pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
      FROM relation AS c
      JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
     UNION ALL
    SELECT 'pg_sequence', c.relname::text,
           concat_ws(' ', s.seqtypid::regtype, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle,
                     pg_get_serial_sequence('jobmon.job_log', 'job_id') = c.oid::regclass::text)
      FROM relation AS c
      JOIN pg_sequence AS s ON s.seqrelid = c.oid
     UNION ALL
    SELECT 'pg_default_acl', concat_ws(' ', pg_get_userbyid(d.defaclrole), d.defaclnamespace::regnamespace, d.defaclobjtype), d.defaclacl::text
      FROM pg_default_acl AS d
     UNION ALL
    SELECT 'role', r.rolname::text,
           concat_ws(' ', r.rolcanlogin, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolbypassrls, r.rolreplication, r.rolconnlimit,
                     ARRAY(SELECT u FROM pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS u WHERE s.setrole = r.oid ORDER BY 1),
                     ARRAY(SELECT pg_get_userbyid(m.roleid) FROM pg_auth_members AS m WHERE m.member = r.oid ORDER BY 1))
      FROM home AS h
      JOIN pg_roles AS r ON r.rolname LIKE 'jobmon\_%' AND (r.rolname !~ '^jobmon_link_' OR r.rolname = h.link)
     UNION ALL
    SELECT 'right', format('%s on database', pg_get_userbyid(a.grantee)), a.privilege_type
      FROM pg_database AS d
     CROSS JOIN aclexplode(d.datacl) AS a
     WHERE d.datname = current_database() AND a.grantee NOT IN (0, d.datdba)
     UNION ALL
    SELECT 'pg_extension', e.extname::text, e.extnamespace::regnamespace::text FROM pg_extension AS e WHERE e.extname <> 'plpgsql'
)
SELECT f.kind, replace(f.name, h.link, 'jobmon_link_N'), replace(f.facts, h.link, 'jobmon_link_N')
  FROM home AS h
 CROSS JOIN fact AS f
