-- A closer look at a job log, where catalog.sql leaves doubts, in one row: what untrusted.sql says, then the first table with a
-- partition or child that is no plain table, and which, then the first table that has somebody else's function or operator
-- in the key of a partition, an index, a constraint or statistics, and which: the planner may run it, with the rights of
-- whoever reads the table. @name@: the schema's name, @tables@: the tables' names, as texts.
WITH RECURSIVE part AS (
    SELECT c.relname::text AS name, c.oid
      FROM pg_namespace AS n
      JOIN pg_class AS c ON c.relnamespace = n.oid
     WHERE n.nspname = @name@ AND c.relname IN (@tables@)
     UNION
    SELECT p.name, i.inhrelid FROM pg_inherits AS i JOIN part AS p ON i.inhparent = p.oid
)
SELECT (@connection/untrusted.sql@),
       (SELECT ARRAY[p.name, pg_describe_object('pg_class'::regclass, k.oid, 0)]
          FROM part AS p
          JOIN pg_class AS k ON k.oid = p.oid
         WHERE k.relkind NOT IN ('r', 'p')
         LIMIT 1),
       (SELECT ARRAY[p.name, pg_describe_object(u.refclassid, u.refobjid, 0)]
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
           AND r.rolname <> session_user
         LIMIT 1)
