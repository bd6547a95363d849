-- What depends on job_log and job_detail themselves, or on their row types, and would go on using the old tables once these are
-- partitions. Returns a description of each such object; and for the schema's own functions and views, which bootstrap creates again,
-- the statement that drops it, and the GRANTs that give other roles the rights that they have on it now.
-- @schema@: the schema; @names@: the names of its own functions and views, as an array.
WITH log AS (
    SELECT c.oid, c.reltype, t.typarray
      FROM pg_class AS c
      JOIN pg_type AS t ON t.oid = c.reltype
     WHERE c.oid IN ('@schema@.job_log'::regclass, '@schema@.job_detail'::regclass)
), found AS (
    SELECT DISTINCT CASE WHEN r.ev_class IS NULL THEN d.classid ELSE 'pg_class'::regclass END AS classid,
           coalesce(r.ev_class, d.objid) AS objid
      FROM log AS l
      JOIN pg_depend AS d
        ON d.refclassid = 'pg_class'::regclass AND d.refobjid = l.oid
        OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (l.reltype, l.typarray)
      LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      LEFT JOIN pg_class AS i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid AND d.refclassid = 'pg_class'::regclass
      LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
      LEFT JOIN pg_class AS f ON f.oid = k.conrelid
      LEFT JOIN pg_trigger AS g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
     WHERE d.classid NOT IN ('pg_type'::regclass, 'pg_attrdef'::regclass, 'pg_statistic_ext'::regclass)
       -- of the triggers, only those that a site has set to ENABLE ALWAYS or REPLICA, or disabled
       AND (g.oid IS NULL OR g.tgenabled <> 'O' AND NOT g.tgisinternal)
       -- without the tables' indexes, sequences and constraints, and the foreign keys of the schema's other tables
       AND i.relkind IS DISTINCT FROM 'i' AND i.relkind IS DISTINCT FROM 'S' AND i.relkind IS DISTINCT FROM 't'
       AND (k.oid IS NULL OR k.conrelid NOT IN (SELECT o.oid FROM log AS o)
            AND NOT (f.relnamespace = '@schema@'::regnamespace AND f.relname IN ('cancelled_job', 'job_lock', 'past_run')))
     UNION ALL
    -- a subscription would go on, but ignore the rows that it receives
    SELECT DISTINCT 'pg_subscription'::regclass, s.srsubid
      FROM log AS l
      JOIN pg_subscription_rel AS s ON s.srrelid = l.oid
)
SELECT pg_describe_object(f.classid, f.objid, 0),
       CASE WHEN p.proname = ANY (@names@) AND p.pronamespace = '@schema@'::regnamespace
            THEN 'DROP ROUTINE ' || p.oid::regprocedure
            WHEN v.relname = ANY (@names@) AND v.relnamespace = '@schema@'::regnamespace AND v.relkind = 'v'
            THEN 'DROP VIEW ' || v.oid::regclass
       END,
       ARRAY(SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type,
                           CASE WHEN p.oid IS NULL THEN v.oid::regclass::text ELSE 'ROUTINE ' || p.oid::regprocedure END,
                           coalesce(quote_ident(r.rolname), 'PUBLIC'), CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END)
               FROM aclexplode(coalesce(p.proacl, v.relacl)) AS a
               LEFT JOIN pg_roles AS r ON r.oid = a.grantee
              WHERE a.grantee <> coalesce(p.proowner, v.relowner))
  FROM found AS f
  LEFT JOIN pg_proc AS p ON f.classid = 'pg_proc'::regclass AND p.oid = f.objid
  LEFT JOIN pg_class AS v ON f.classid = 'pg_class'::regclass AND v.oid = f.objid
 ORDER BY 2, 1
