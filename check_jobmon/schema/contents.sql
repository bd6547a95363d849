-- The objects in a schema, one row each: the relation that the object is part of (or NULL), its name, its properties as text, the
-- hash of a function's body, whether bootstrap tolerates that it is missing, and whether it tolerates that a site has added it.
-- The texts don't contain the schema's name, so that two schemas can be compared. `home`: the schema's oid.
-- Reads only system catalogs, so no code runs that the schema's owner could have put there.
WITH home AS MATERIALIZED (
    SELECT n.oid, n.nspacl AS acl, n.oid = pg_my_temp_schema() AS temporary,
           -- all temporary schemas belong to the cluster's first superuser
           CASE WHEN n.oid = pg_my_temp_schema() THEN (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user)
                ELSE n.nspowner
           END AS owner,
           CASE WHEN n.oid = pg_my_temp_schema() THEN '"?\mpg_temp(_[0-9]+)?"?\.' ELSE '"?\m' || n.nspname || '"?\.' END AS prefix,
           CASE WHEN n.oid = pg_my_temp_schema() THEN 'pg_temp' ELSE quote_ident(n.nspname) END AS in_path
      FROM pg_namespace AS n
     WHERE n.oid = %(home)s::oid
), relation AS MATERIALIZED (
    -- `part_of`: the table of which it is a partition
    SELECT c.*, h.owner, h.temporary, p.relname AS part_of, coalesce(p.relname, c.relname)::text AS home_table
      FROM home AS h
      JOIN pg_class AS c ON c.relnamespace = h.oid
      LEFT JOIN (pg_inherits AS i JOIN pg_class AS p ON p.oid = i.inhparent)
        ON i.inhrelid = c.oid AND c.relispartition AND p.relnamespace = h.oid AND p.relname IN ('job_log', 'job_detail')
     WHERE c.relkind NOT IN ('i', 'I')
), harmless (classid, objid) AS MATERIALIZED (
    -- The defaults and checks, in the tables that a site may extend, that call only PostgreSQL's own immutable functions.
    -- Volatile ones could run any SQL: query_to_xml(), for example.
    SELECT e.classid, e.objid
      FROM relation AS c
      JOIN (SELECT 'pg_attrdef'::regclass, d.oid, d.adrelid, d.adbin FROM pg_attrdef AS d
             UNION ALL
            SELECT 'pg_constraint'::regclass, k.oid, k.conrelid, k.conbin FROM pg_constraint AS k WHERE k.contype = 'c'
           ) AS e(classid, objid, relid, tree)
        ON e.relid = c.oid
     WHERE c.home_table IN ('job_check_config', 'job_detail', 'job_log')
       AND NOT EXISTS (SELECT
                         FROM regexp_matches(e.tree::text, ':funcid (\d+)', 'g') AS m(id)
                         JOIN pg_proc AS f ON f.oid = m.id[1]::oid
                        WHERE f.provolatile <> 'i')
       -- dependencies on PostgreSQL's own objects are not recorded
       AND NOT EXISTS (SELECT
                         FROM pg_depend AS u
                        WHERE u.classid = e.classid AND u.objid = e.objid
                          AND (u.refclassid <> 'pg_class'::regclass OR u.refobjid <> c.oid))
), object (relation, name, facts, body, may_be_missing, may_be_added) AS (
    SELECT c.home_table, 'relation ' || c.relname,
           concat_ws(', ',
                     CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' WHEN 'p' THEN 'partitioned table'
                                    WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'composite type'
                                    ELSE c.relkind::text END,
                     CASE WHEN c.relpersistence <> CASE WHEN c.temporary THEN 't' ELSE 'p' END THEN 'unlogged' END,
                     CASE WHEN c.relowner <> c.owner THEN 'of another owner: ' || pg_get_userbyid(c.relowner) END,
                     CASE WHEN c.relrowsecurity THEN 'with row level security' END,
                     CASE WHEN c.relforcerowsecurity THEN 'with forced row level security' END,
                     CASE WHEN c.relispartition THEN 'a partition' END,
                     CASE WHEN c.reloftype <> 0 THEN 'of type ' || format_type(c.reloftype, NULL) END,
                     (SELECT 'access method ' || a.amname FROM pg_am AS a WHERE a.oid = c.relam AND a.amname <> 'heap'),
                     (SELECT 'inherits from ' || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
                        FROM pg_inherits AS i WHERE i.inhrelid = c.oid),
                     -- its partitions in the same schema have rows of their own
                     (SELECT 'is inherited by ' || string_agg(i.inhrelid::regclass::text, ', ' ORDER BY i.inhrelid)
                        FROM pg_inherits AS i
                        JOIN pg_class AS k ON k.oid = i.inhrelid
                       WHERE i.inhparent = c.oid AND NOT (k.relispartition AND k.relnamespace = c.relnamespace))),
           NULL, false,
           CASE WHEN c.part_of IS NULL THEN c.relkind IN ('r', 'p', 'v', 'm', 'S', 'c')
                -- a partition is read and written through its table, so only a plain one of the same owner is tolerated
                ELSE c.relkind = 'r' AND c.relowner = c.owner AND c.relpersistence = 'p' AND NOT c.relrowsecurity
           END
      FROM relation AS c
     UNION ALL
    SELECT c.relname::text, format('column %%s of %%s', a.attname, c.relname),
           concat_ws(' ',
                     format_type(a.atttypid, a.atttypmod),
                     CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                     CASE WHEN a.attidentity <> '' THEN 'identity ' || a.attidentity::text END,
                     CASE WHEN a.attgenerated <> '' THEN 'generated ' || a.attgenerated::text END,
                     CASE WHEN NOT d.harmless THEN 'default ' || pg_get_expr(d.adbin, d.adrelid) END,
                     (SELECT 'collation ' || a.attcollation::regcollation
                        FROM pg_type AS t WHERE t.oid = a.atttypid AND t.typcollation <> a.attcollation),
                     'at position ' || row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum)),
           NULL, false,
           c.relname IN ('job_check_config', 'job_detail', 'job_log')
           AND NOT a.attnotnull AND a.attgenerated = '' AND d.harmless IS NOT FALSE
           AND EXISTS (SELECT FROM pg_type AS t WHERE t.oid = a.atttypid AND t.typnamespace = 'pg_catalog'::regnamespace)
      FROM relation AS c
      JOIN pg_attribute AS a ON a.attrelid = c.oid
      LEFT JOIN (SELECT d.*, EXISTS (SELECT FROM harmless AS k WHERE k.classid = 'pg_attrdef'::regclass AND k.objid = d.oid)
                   FROM pg_attrdef AS d) AS d(oid, adrelid, adnum, adbin, harmless)
        ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE a.attnum > 0
       AND NOT a.attisdropped
       AND c.relkind <> 'S'
       AND c.part_of IS NULL
     UNION ALL
    SELECT c.home_table, format('constraint %%s of %%s', t.conname, c.relname),
           pg_get_constraintdef(t.oid) || CASE WHEN t.convalidated THEN '' ELSE ' NOT VALID' END, NULL,
           -- bootstrap adds these again: see foreign_keys.sql
           t.contype = 'f' AND c.relname IN ('cancelled_job', 'job_lock', 'past_run'),
           t.contype = 'p' AND c.part_of IS NOT NULL
           OR EXISTS (SELECT FROM harmless AS k WHERE k.classid = 'pg_constraint'::regclass AND k.objid = t.oid)
      FROM relation AS c
      JOIN pg_constraint AS t ON t.conrelid = c.oid
     -- NOT NULL, which is a constraint since PostgreSQL 18, is a property of the column here
     WHERE t.contype <> 'n'
     UNION ALL
    SELECT c.home_table, format('trigger %%s of %%s', t.tgname, c.relname),
           -- The triggers of job_log and job_detail may be ENABLE ALWAYS, which a central log needs, and that of job_silence always is,
           -- so this counts as enabled. A site may add triggers that are ENABLE REPLICA: they fire only for rows that a subscription
           -- writes, and never in bootstrap's session, which has set session_replication_role.
           format('%%s enabled %%s', pg_get_triggerdef(t.oid),
                  CASE WHEN c.relname IN ('job_log', 'job_detail', 'job_silence') AND t.tgenabled = 'A' THEN 'O' ELSE t.tgenabled END),
           NULL, false, t.tgenabled = 'R'
      FROM relation AS c
      JOIN pg_trigger AS t ON t.tgrelid = c.oid
     WHERE NOT t.tgisinternal
       -- without the copies that partitions have of their tables' triggers
       AND t.tgparentid = 0
     UNION ALL
    SELECT c.home_table, format('rule %%s of %%s', r.rulename, c.relname), '', NULL, false, false
      FROM relation AS c
      JOIN pg_rewrite AS r ON r.ev_class = c.oid
     WHERE r.ev_type <> '1'
     UNION ALL
    SELECT c.home_table, format('policy %%s of %%s', p.polname, c.relname), '', NULL, false, false
      FROM relation AS c
      JOIN pg_policy AS p ON p.polrelid = c.oid
     UNION ALL
    -- an index is compared without its storage parameters
    SELECT c.home_table, format('index %%s of %%s', i.indexrelid::regclass, c.relname),
           regexp_replace(pg_get_indexdef(i.indexrelid), ' WITH \([^()]*\)', ''),
           NULL, t.plain, t.plain
      FROM relation AS c
      JOIN pg_index AS i ON i.indrelid = c.oid
     CROSS JOIN LATERAL (
            SELECT NOT i.indisunique AND NOT i.indisexclusion AND i.indexprs IS NULL AND i.indpred IS NULL
                   AND NOT EXISTS (SELECT FROM unnest(i.indclass) AS u(oid) JOIN pg_opclass AS o USING (oid)
                                    WHERE o.opcnamespace <> 'pg_catalog'::regnamespace)
           ) AS t(plain)
     -- without the indexes of a partition that belong to an index of its table, or to the partition's primary key
     WHERE NOT (c.part_of IS NOT NULL AND (i.indisprimary OR EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)))
     UNION ALL
    SELECT NULL, format('function %%s(%%s)', p.proname, oidvectortypes(p.proargtypes)),
           concat_ws(', ',
                     CASE p.prokind WHEN 'f' THEN 'function' WHEN 'p' THEN 'procedure' ELSE 'aggregate or window function' END,
                     -- bootstrap replaces the body, and may replace one of these two languages by the other
                     CASE WHEN l.lanname NOT IN ('sql', 'plpgsql') THEN 'in language ' || l.lanname END,
                     'returns ' || pg_get_function_result(p.oid),
                     'arguments ' || pg_get_function_identity_arguments(p.oid),
                     CASE WHEN p.proowner <> h.owner THEN 'of another owner: ' || pg_get_userbyid(p.proowner) END),
           md5(concat_ws(' ', regexp_replace(p.prosrc, h.prefix, '', 'g'), l.lanname, p.prosecdef,
                         replace(array_to_string(p.proconfig, ' '), format(', %%s,', h.in_path), ','))),
           false,
           -- not if one of PostgreSQL's own functions has the same name, because it could be called instead of that
           NOT EXISTS (SELECT FROM pg_proc AS b WHERE b.pronamespace = 'pg_catalog'::regnamespace AND b.proname = p.proname)
           AND (p.proowner = h.owner OR EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = p.proowner AND r.rolsuper))
      FROM home AS h
      JOIN pg_proc AS p ON p.pronamespace = h.oid
      JOIN pg_language AS l ON l.oid = p.prolang
     UNION ALL
    SELECT NULL, 'type ' || t.typname, '', NULL, false,
           t.typowner = h.owner
           AND (t.typtype = 'e'
                OR t.typtype = 'd'
                AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.contypid = t.oid AND k.contype = 'c')
                AND EXISTS (SELECT FROM pg_type AS b WHERE b.oid = t.typbasetype AND b.typnamespace = 'pg_catalog'::regnamespace))
      FROM home AS h
      JOIN pg_type AS t ON t.typnamespace = h.oid
     -- without the row types of relations, and without array types
     WHERE t.typrelid = 0
       AND NOT EXISTS (SELECT FROM pg_type AS e WHERE e.typarray = t.oid)
     UNION ALL
    SELECT NULL, format('cast from %%s to %%s', format_type(t.castsource, NULL), format_type(t.casttarget, NULL)), '', NULL, false, false
      FROM home AS h
      JOIN pg_type AS y ON y.typnamespace = h.oid
      JOIN pg_cast AS t ON y.oid IN (t.castsource, t.casttarget)
     UNION ALL
    SELECT NULL, format('operator %%s(%%s, %%s)', o.oprname, format_type(o.oprleft, NULL), format_type(o.oprright, NULL)), '', NULL, false, false
      FROM home AS h
      JOIN pg_operator AS o ON o.oprnamespace = h.oid
     UNION ALL
    SELECT NULL, format('statistics %%s', s.stxname), '', NULL, false, (to_jsonb(s) ->> 'stxexprs') IS NULL
      FROM home AS h
      JOIN pg_statistic_ext AS s
        ON s.stxnamespace = h.oid OR s.stxrelid IN (SELECT c.oid FROM relation AS c)
     UNION ALL
    SELECT NULL, o.name, '', NULL, false, false
      FROM home AS h
      JOIN (SELECT opcnamespace, 'operator class ' || opcname FROM pg_opclass
             UNION ALL SELECT opfnamespace, 'operator family ' || opfname FROM pg_opfamily
             UNION ALL SELECT collnamespace, 'collation ' || collname FROM pg_collation
             UNION ALL SELECT connamespace, 'conversion ' || conname FROM pg_conversion
             UNION ALL SELECT prsnamespace, 'text search parser ' || prsname FROM pg_ts_parser
             UNION ALL SELECT dictnamespace, 'text search dictionary ' || dictname FROM pg_ts_dict
             UNION ALL SELECT tmplnamespace, 'text search template ' || tmplname FROM pg_ts_template
             UNION ALL SELECT cfgnamespace, 'text search configuration ' || cfgname FROM pg_ts_config) AS o(namespace, name)
        ON o.namespace = h.oid
     UNION ALL
    -- a right with which another role could create objects here that bootstrap would execute
    SELECT NULL, format('right of %%s to create in the schema', coalesce(r.rolname, 'PUBLIC')), '', NULL, false, false
      FROM home AS h
     CROSS JOIN aclexplode(h.acl) AS a
      LEFT JOIN pg_roles AS r ON r.oid = a.grantee
     WHERE a.privilege_type = 'CREATE'
       AND a.grantee <> h.owner
       AND r.rolsuper IS NOT TRUE
     UNION ALL
    -- With either right, the grantee's code would be executed by the role that writes to the table: in a trigger on the table, or on a
    -- table with a foreign key to it.
    SELECT c.home_table, format('right of %%s to make %%s', coalesce(r.rolname, 'PUBLIC'),
                                   CASE a.privilege_type WHEN 'TRIGGER' THEN 'triggers on ' ELSE 'foreign keys to ' END || c.relname),
           '', NULL, false, false
      FROM relation AS c
     CROSS JOIN LATERAL (
            SELECT c.relacl
             UNION ALL
            SELECT t.attacl FROM pg_attribute AS t WHERE t.attrelid = c.oid
           ) AS l(acl)
     CROSS JOIN aclexplode(l.acl) AS a
      LEFT JOIN pg_roles AS r ON r.oid = a.grantee
     WHERE a.privilege_type IN ('TRIGGER', 'REFERENCES')
       -- not in the temporary schema, with which the real one is compared: rights there come from ALTER DEFAULT PRIVILEGES
       AND NOT c.temporary
       AND a.grantee <> c.relowner
       AND r.rolsuper IS NOT TRUE
     UNION ALL
    SELECT c.home_table, format('foreign key %%s of %%s (owner "%%s") to %%s', k.conname, k.conrelid::regclass, r.rolname, c.relname),
           '', NULL, false, false
      FROM relation AS c
      JOIN pg_constraint AS k ON k.confrelid = c.oid AND k.contype = 'f'
      JOIN pg_class AS t ON t.oid = k.conrelid
      JOIN pg_roles AS r ON r.oid = t.relowner
     WHERE t.relowner <> c.owner
       AND NOT r.rolsuper
)
SELECT o.relation, regexp_replace(o.name, h.prefix, '', 'g') AS name, regexp_replace(o.facts, h.prefix, '', 'g') AS facts,
       o.body, o.may_be_missing, o.may_be_added
  FROM home AS h
 CROSS JOIN object AS o
 ORDER BY o.name LIKE 'relation %%' DESC, o.name
