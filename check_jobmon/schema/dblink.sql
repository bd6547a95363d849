-- The schema of the extension dblink; a role that could replace dblink's functions, or NULL; the statements that grant the missing rights
-- on these functions to the owner of the job log's schema; the statements that revoke PUBLIC's right to send SQL with them; and the
-- statement after which that role can't replace them. `schema`: the job log's schema; if it doesn't exist yet, the current role will own
-- it.
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
       -- the functions that send SQL of the caller's, even over a link that another role has opened in the same session
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
               -- the present owner of the schema keeps all other rights
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
    -- this matters only if a superuser owns the job log's schema, or runs bootstrap
    ON h.rolsuper OR current_setting('is_superuser') = 'on'
 WHERE e.extname = 'dblink'
