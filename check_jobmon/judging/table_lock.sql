-- The ACCESS EXCLUSIVE lock on one of the job log's tables that the check waits for: the table, whether the lock has been granted
-- (otherwise its session waits for it), and the session. @name@: the schema's name, @tables@: the tables' names, as texts.
SELECT c.relname::text, l.granted, l.pid, a.usename::text, a.application_name,
       to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ')
  FROM pg_locks AS l
  JOIN pg_class AS c ON c.oid = l.relation
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.mode = 'AccessExclusiveLock'
   AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
   AND n.nspname = @name@
   AND c.relname IN (@tables@)
 ORDER BY l.granted DESC, a.xact_start
 LIMIT 1
