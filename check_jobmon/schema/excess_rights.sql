-- The statements that revoke rights that only the owner may have from all other roles. They may have been granted by hand, or by
-- ALTER DEFAULT PRIVILEGES, which grants rights on everything that bootstrap creates. `shown`: the tables and views that other roles
-- may read; `link`: the roles that may call the link's functions.
SELECT format('REVOKE %%s FROM %%s CASCADE', o.rights, coalesce(quote_ident(r.rolname), 'PUBLIC'))
  FROM pg_namespace AS n
 CROSS JOIN LATERAL (
        SELECT 'CREATE ON SCHEMA ' || quote_ident(n.nspname), a.grantee, n.nspowner
          FROM aclexplode(n.nspacl) AS a
         WHERE a.privilege_type = 'CREATE'
         UNION
        -- revoking a right on a table also revokes that right on its columns
        SELECT format('%%s ON %%s %%I.%%I', CASE WHEN s.secret THEN 'ALL' ELSE s.excess END,
                      CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname),
               a.grantee, c.relowner
          FROM pg_class AS c
         CROSS JOIN LATERAL (
                -- no other role may use these at all; the sequences have the key that signs the calls over the link
                SELECT c.relname IN ('bridge', 'bridge_job', 'bridge_logged', 'cancelled_job', 'dblink_mapping', 'job_lock',
                                     'link', 'link_key_1', 'link_key_2',
                                     'partitioning', 'past_run', 'schema_version')
                       -- partitions are read and written through their tables
                       OR EXISTS (SELECT FROM pg_inherits AS i
                                    JOIN pg_class AS p ON p.oid = i.inhparent
                                   WHERE i.inhrelid = c.oid AND c.relkind = 'r' AND p.relnamespace = n.oid
                                     AND p.relname IN ('job_log', 'job_detail')),
                       -- only silence() and unsilence() may write here: they record who has called them, and no row is ever deleted
                       CASE WHEN c.relname = 'job_silence' THEN 'INSERT, UPDATE, DELETE, TRUNCATE, ' ELSE '' END
                       || 'TRIGGER, REFERENCES'
               ) AS s(secret, excess)
         CROSS JOIN LATERAL (
                SELECT c.relacl
                 UNION ALL
                SELECT t.attacl FROM pg_attribute AS t WHERE t.attrelid = c.oid
               ) AS l(acl)
         CROSS JOIN aclexplode(l.acl) AS a
         WHERE c.relnamespace = n.oid
           AND (s.secret OR c.relname = ANY (%(shown)s::text[]) AND a.privilege_type = ANY (string_to_array(s.excess, ', ')))
         UNION
        SELECT 'ALL ON ROUTINE ' || p.oid::regprocedure, a.grantee, p.proowner
          FROM pg_proc AS p
         CROSS JOIN aclexplode(p.proacl) AS a
         WHERE p.pronamespace = n.oid
           AND p.proname LIKE 'link\_%%'
           AND NOT EXISTS (SELECT FROM pg_roles AS k WHERE k.oid = a.grantee AND k.rolname = ANY (%(link)s::text[]))
       ) AS o(rights, grantee, owner)
  LEFT JOIN pg_roles AS r ON r.oid = o.grantee
 WHERE n.nspname = %(schema)s
   AND o.grantee <> o.owner
