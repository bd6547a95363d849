-- What the catalogs say about a job log, before any of its tables is read: a row for each of its tables; one row without a table if
-- it has none of them; no row if there is no such schema. Reads only pg_catalog, and little of it, because every check does this.
-- @name@: the schema's name, @tables@: the tables' names, as texts.
SELECT has_schema_privilege(n.oid, 'USAGE'),
       pg_has_role('pg_read_all_stats', 'USAGE'),
       -- session_user, because RESET ROLE undoes a SET ROLE
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
       -- whether reading the table certainly doesn't execute somebody's code; if this is false, doubts.sql takes a closer look
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
