-- The session that most probably holds the lock that bootstrap has waited for in vain: of those that hold locks on the schema's
-- tables now, the one with the strongest lock, and among these the one with the oldest transaction. Of its equally strong locks, that
-- on a table is named sooner than those on its partition and on a sequence. pg_namespace counts too, because another bootstrap that is
-- making this schema has locked it, and sequences, which a transaction locks that takes a number.
SELECT format('%%I, locked by pid %%s (role "%%s", application "%%s"), in a transaction since %%s',
              c.relname, l.pid, a.usename, a.application_name,
              coalesce(date_trunc('second', a.xact_start)::text, 'a time that only pg_read_all_stats may see')),
       l.pid
  FROM pg_locks AS l
  JOIN pg_class AS c ON c.oid = l.relation
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'relation'
   AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
   AND l.granted
   AND l.pid <> pg_backend_pid()
   AND c.relkind IN ('r', 'p', 'S')
   AND (n.nspname = %(schema)s OR c.oid = 'pg_namespace'::regclass AND l.mode <> 'AccessShareLock')
 ORDER BY array_position(ARRAY['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock',
                               'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'], l.mode) DESC,
          a.xact_start, array_position(ARRAY['p', 'r', 'S'], c.relkind::text), c.oid
 LIMIT 1
