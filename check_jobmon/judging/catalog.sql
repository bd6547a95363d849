-- What the catalogs say of a job log, before anything of it is read: a row for each of its tables, one row of NULLs if it has
-- none of them, no row where there is no such schema. Reads pg_catalog alone, and of that little: every check pays for it.
-- @name@: the schema's name, @tables@: the tables' names, as texts.
SELECT has_schema_privilege(n.oid, 'USAGE'),
       pg_has_role('pg_read_all_stats', 'USAGE'),
       -- SET ROLE changes nothing, because RESET ROLE undoes it
       EXISTS (SELECT FROM pg_roles AS su WHERE @connection/powerful.sql@ AND pg_has_role(session_user, su.oid, 'MEMBER')),
       c.relname::text,
       c.relkind::text,
       has_any_column_privilege(c.oid, 'SELECT'),
       row_security_active(c.oid),
       ARRAY(SELECT ARRAY[a.attname::text, CASE WHEN a.attgenerated = '' THEN '' ELSE 'generated ' END
                                           || format_type(a.atttypid, NULL)]
               FROM pg_attribute AS a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
       ARRAY(SELECT pg_get_indexdef(i.indexrelid)
               FROM pg_index AS i
              WHERE i.indrelid = c.oid AND i.indisvalid),
       -- whether it has nothing by which reading it could run somebody's code; if not, doubts.sql looks closer
       c.relkind = 'r' AND NOT c.relhassubclass
       AND (c.relchecks = 0
            OR NOT EXISTS (SELECT
                             FROM pg_constraint AS k
                             JOIN pg_depend AS d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
                            WHERE k.conrelid = c.oid AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)))
       AND NOT EXISTS (SELECT FROM pg_statistic_ext AS s WHERE s.stxrelid = c.oid)
       AND NOT EXISTS (SELECT
                         FROM pg_index AS i
                         JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                        WHERE i.indrelid = c.oid AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass))
  FROM pg_namespace AS n
  LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname IN (@tables@)
 WHERE n.nspname = @name@
