-- Copies dblink_mapping, but not the name and password of a superuser, because the link refuses to connect as one. Returns notes with the
-- columns of migrate_notes.sql: one if there is such a name, and one if there is a host, because anybody who could write to the old table
-- may have set the host. @mapping@: the name of the old table. Its columns depend on pg_jobmon's version.
WITH old AS (
    SELECT to_jsonb(o) AS row,
           EXISTS (SELECT
                     FROM pg_roles AS r
                     JOIN pg_roles AS su ON pg_has_role(r.oid, su.oid, 'MEMBER')
                    WHERE r.rolname = to_jsonb(o) ->> 'username' AND @connection/powerful.sql@) AS refused
      FROM @old@.@mapping@ AS o
     LIMIT 1
), taken AS (
    INSERT INTO @schema@.dblink_mapping (username, port, pwd, host)
    SELECT CASE WHEN NOT o.refused THEN o.row ->> 'username' END, o.row ->> 'port',
           CASE WHEN NOT o.refused THEN o.row ->> 'pwd' END, o.row ->> 'host'
      FROM old AS o
        ON CONFLICT DO NOTHING
)
SELECT format('the log is not written as %s, a superuser, as dblink_mapping had it', o.row ->> 'username'), NULL
  FROM old AS o
 WHERE o.refused
 UNION ALL
SELECT format('the log is written on host %s, as dblink_mapping had it, and that host is trusted without verification', o.row ->> 'host'),
       NULL
  FROM old AS o
 WHERE o.row ->> 'host' IS NOT NULL
