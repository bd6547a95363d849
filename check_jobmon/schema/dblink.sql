-- Where dblink is; a role that could replace dblink's functions with look-alikes; the statements that give the schema's owner the
-- rights on them that it lacks; the statements that take away PUBLIC's right to send statements with them; and the statement that
-- makes look-alikes impossible. `schema`: the job log's schema, whose owner will be bootstrap's role if it doesn't exist yet.
WITH used AS MATERIALIZED (
    SELECT e.extnamespace, p.oid, p.proname, p.proowner, format('%%s(%%s)', p.proname, oidvectortypes(p.proargtypes)) AS signature
      FROM pg_extension AS e
      JOIN pg_depend AS d
        ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
      JOIN pg_proc AS p ON p.oid = d.objid
     WHERE e.extname = 'dblink'
), needed AS (
    SELECT u.*
      FROM used AS u
     WHERE u.signature IN ('dblink(text, text)', 'dblink_connect(text, text)', 'dblink_disconnect(text)',
                           'dblink_exec(text, text)', 'dblink_get_connections()', 'dblink_send_query(text, text)',
                           'dblink_is_busy(text)', 'dblink_get_result(text)', 'dblink_get_result(text, boolean)',
                           'dblink_cancel_query(text)')
)
SELECT n.nspname,
       s.rolname,
       nullif(concat_ws('; ',
           CASE WHEN NOT has_schema_privilege(h.oid, n.oid, 'USAGE')
                THEN format('GRANT USAGE ON SCHEMA %%I TO %%I', n.nspname, h.rolname)
           END,
           (SELECT format('GRANT EXECUTE ON FUNCTION %%s TO %%I', string_agg(u.oid::regprocedure::text, ', '), h.rolname)
              FROM needed AS u
             WHERE NOT has_function_privilege(h.oid, u.oid, 'EXECUTE')
            HAVING count(*) > 0)), ''),
       -- the functions that send the caller's SQL, also over a link that another role has opened in the session
       (SELECT concat(CASE WHEN NOT h.rolsuper THEN
                          (SELECT format('GRANT EXECUTE ON FUNCTION %%s TO %%I; ', string_agg(w.oid::regprocedure::text, ', '), h.rolname)
                             FROM needed AS w)
                      END,
                      format('REVOKE EXECUTE ON FUNCTION %%s FROM PUBLIC', string_agg(u.oid::regprocedure::text, ', ' ORDER BY u.oid)))
          FROM used AS u
         WHERE u.proname IN ('dblink', 'dblink_close', 'dblink_exec', 'dblink_fetch', 'dblink_open', 'dblink_send_query')
           AND has_function_privilege('public', u.oid, 'EXECUTE')
           AND has_schema_privilege('public', n.oid, 'USAGE')
        HAVING count(*) > 0),
       s.remedy
  FROM pg_extension AS e
  JOIN pg_namespace AS n ON n.oid = e.extnamespace
  LEFT JOIN pg_namespace AS j ON j.nspname = %(schema)s
  JOIN pg_roles AS h ON CASE WHEN j.oid IS NULL THEN h.rolname = current_user ELSE h.oid = j.nspowner END
  LEFT JOIN LATERAL (
        SELECT r.rolname,
               -- the schema's present owner keeps its rights otherwise
               CASE WHEN o.function IS NULL THEN format('ALTER SCHEMA %%I OWNER TO %%I; GRANT ALL ON SCHEMA %%1$I TO %%3$I',
                                                        n.nspname, t.superuser, r.rolname)
                    ELSE format('ALTER FUNCTION %%s OWNER TO %%I', o.function, t.superuser)
               END
          FROM (SELECT CASE WHEN pg_get_userbyid(n.nspowner) = 'pg_database_owner' THEN b.datdba ELSE n.nspowner END, NULL
                  FROM pg_database AS b
                 WHERE b.datname = current_database()
                 UNION ALL
                SELECT u.proowner, u.oid::regprocedure FROM needed AS u) AS o(oid, function)
          JOIN pg_roles AS r USING (oid)
         CROSS JOIN LATERAL (
                SELECT CASE WHEN current_setting('is_superuser') = 'on' THEN current_user ELSE h.rolname END
               ) AS t(superuser)
         WHERE NOT r.rolsuper
           AND r.oid <> h.oid
         LIMIT 1
       ) AS s(rolname, remedy)
    -- only if functions of a superuser call them, or a superuser runs bootstrap
    ON h.rolsuper OR current_setting('is_superuser') = 'on'
 WHERE e.extname = 'dblink'
