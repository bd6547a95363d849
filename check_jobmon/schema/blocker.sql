-- The session that keeps the backend @pid@ waiting for a lock: of several, the one with the oldest transaction; no row if the backend
-- doesn't wait. The pid is 0 for a prepared transaction, which has no backend. blocked_for: for how many seconds it has waited. Before
-- PostgreSQL 14, which doesn't record when the wait began, this counts from the beginning of the waiting statement or of the blocking
-- transaction, whichever is later.
SELECT b.pid, pg_get_userbyid(a.usesysid) AS role_name, a.application_name, a.xact_start,
       greatest(0, date_part('epoch', clock_timestamp() - coalesce(
           (SELECT min((to_jsonb(l) ->> 'waitstart')::timestamptz)
              FROM pg_lock_status() AS l
             WHERE l.pid = @pid@ AND NOT l.granted),
           (SELECT greatest(w.query_start, a.xact_start) FROM pg_stat_get_activity(@pid@) AS w)))) AS blocked_for
  FROM unnest(pg_blocking_pids(@pid@)) AS b(pid)
  LEFT JOIN pg_stat_get_activity(NULL) AS a ON a.pid = b.pid
 ORDER BY a.xact_start, b.pid
 LIMIT 1
