-- Why a session with a superuser's rights must not use a schema: the first object there that belongs to neither a superuser nor
-- the session user, and the role that owns it (NULL for PUBLIC), as one array. Returns no row if there is no such object, or if
-- the session doesn't have a superuser's rights. A role set by SET ROLE is ignored: RESET ROLE undoes it, and the database's owner can
-- have it set by ALTER DATABASE. The session user isn't trusted, either, if it has members. Reads only pg_catalog.
-- @name@: the schema's name, as text.
SELECT ARRAY[CASE WHEN o.place = 1 THEN 'the right to create in ' ELSE '' END || pg_describe_object(o.classid, o.objid, 0),
             r.rolname]
  FROM pg_namespace AS n
 CROSS JOIN LATERAL (
        SELECT 0 AS place, 'pg_namespace'::regclass AS classid, n.oid AS objid, n.nspowner AS owner
         UNION ALL
        SELECT 1, 'pg_namespace'::regclass, n.oid, a.grantee
          FROM aclexplode(n.nspacl) AS a
         WHERE a.privilege_type = 'CREATE'
         UNION ALL
        -- everything that has an owner of its own: relations, functions, types, operators, and kinds of objects of later versions
        SELECT 2, d.classid, d.objid, s.refobjid
          FROM pg_depend AS d
          JOIN pg_shdepend AS s
            ON s.dbid = (SELECT b.oid FROM pg_database AS b WHERE b.datname = current_database())
           AND s.classid = d.classid AND s.objid = d.objid AND s.objsubid = 0 AND s.deptype = 'o'
         WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
         UNION ALL
        SELECT 3, 'pg_trigger'::regclass, t.oid, p.proowner
          FROM pg_class AS c
          JOIN pg_trigger AS t ON t.tgrelid = c.oid
          JOIN pg_proc AS p ON p.oid = t.tgfoid
         WHERE c.relnamespace = n.oid
         UNION ALL
        SELECT 3, 'pg_cast'::regclass, k.oid, p.proowner
          FROM pg_type AS t
          JOIN pg_cast AS k ON t.oid IN (k.castsource, k.casttarget)
          JOIN pg_proc AS p ON p.oid = k.castfunc
         WHERE t.typnamespace = n.oid
       ) AS o
  LEFT JOIN pg_roles AS r ON r.oid = o.owner
 WHERE n.nspname = @name@
   AND EXISTS (SELECT FROM pg_roles AS su WHERE @connection/powerful.sql@ AND pg_has_role(session_user, su.oid, 'MEMBER'))
   AND NOT coalesce(r.rolsuper
                    OR r.rolname = session_user AND NOT EXISTS (SELECT FROM pg_auth_members AS m WHERE m.roleid = r.oid),
                    false)
 ORDER BY o.place, o.objid
 LIMIT 1
