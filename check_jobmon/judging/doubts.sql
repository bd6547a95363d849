-- A closer look at a job log for which catalog.sql leaves doubts, in one row of three arrays: what untrusted.sql returns; the first
-- table with a partition or child that is not a plain table, and that child; and the first table that uses another role's function
-- or operator in a partition key, an index, a constraint or extended statistics, and that function or operator: the planner may execute
-- it with the rights of the role that reads the table.
-- @name@: the schema's name, @tables@: the tables' names, as texts.
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
