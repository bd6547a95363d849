-- The session that most probably holds the lock for which bootstrap has waited in vain: of the sessions that hold locks on the schema's
-- tables now, the one with the strongest lock; of several, the one with the oldest transaction. Of its equally strong locks, one on a
-- table is reported rather than one on a partition or a sequence. Locks on sequences count, because a transaction that has used one keeps
-- a lock on it, and those on pg_namespace, because another bootstrap that is creating this schema has locked it.
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
