-- What the catalogs say of a job log, before anything of it is read: a row for each of its tables, one row of NULLs if it has
-- none of them, no row where there is no such schema. Reads pg_catalog alone.
-- @name@: the schema's name, @tables@: the tables' names, as texts; @untrusted@: untrusted.sql.
SELECT (@untrusted@),
       has_schema_privilege(n.oid, 'USAGE'),
       pg_has_role('pg_read_all_stats', 'USAGE'),
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
       part.strange,
       part.code
  FROM pg_namespace AS n
  LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname IN (@tables@)
  LEFT JOIN LATERAL (
        WITH RECURSIVE part AS (
            SELECT c.oid
             UNION
            SELECT i.inhrelid FROM pg_inherits AS i JOIN part AS p ON i.inhparent = p.oid
        )
        -- a partition or child that is no plain table
        SELECT (SELECT pg_describe_object('pg_class'::regclass, k.oid, 0)
                  FROM part AS p
                  JOIN pg_class AS k ON k.oid = p.oid
                 WHERE k.relkind NOT IN ('r', 'p')
                 LIMIT 1) AS strange,
               -- somebody else's function or operator in the key of a partition, an index, a constraint or statistics: the
               -- planner may run it, with the rights of whoever reads the table
               (SELECT pg_describe_object(u.refclassid, u.refobjid, 0)
                  FROM part AS p
                 CROSS JOIN LATERAL (
                        SELECT 'pg_class'::regclass::oid AS classid, p.oid AS objid
                         UNION ALL
                        SELECT d.classid, d.objid
                          FROM pg_depend AS d
                         WHERE d.refclassid = 'pg_class'::regclass
                           AND d.refobjid = p.oid
                           AND d.classid IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_statistic_ext'::regclass)
                       ) AS d
                  JOIN pg_depend AS u
                    ON u.classid = d.classid AND u.objid = d.objid
                   AND u.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
                  JOIN pg_shdepend AS s
                    ON s.dbid = (SELECT b.oid FROM pg_database AS b WHERE b.datname = current_database())
                   AND s.classid = u.refclassid AND s.objid = u.refobjid AND s.objsubid = 0 AND s.deptype = 'o'
                  JOIN pg_roles AS r ON r.oid = s.refobjid
                 WHERE NOT r.rolsuper
                   AND r.rolname NOT IN (session_user, current_user)
                 LIMIT 1) AS code
       ) AS part ON c.oid IS NOT NULL
 WHERE n.nspname = @name@
