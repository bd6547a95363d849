-- What keeps the backend @pid@ waiting for a lock: the oldest transaction, in one row; no row if the backend doesn't wait.
-- The pid is 0 for a prepared transaction, which has no backend.
SELECT b.pid, pg_get_userbyid(a.usesysid) AS role_name, a.application_name, a.xact_start
  FROM unnest(pg_blocking_pids(@pid@)) AS b(pid)
  LEFT JOIN pg_stat_get_activity(NULL) AS a ON a.pid = b.pid
 ORDER BY a.xact_start, b.pid
 LIMIT 1
