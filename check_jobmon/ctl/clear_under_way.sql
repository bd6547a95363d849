-- How many runs that started before a given time are under way. Parameter: that time.
SELECT count(*)
  FROM @schema@.job_log AS l
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
 WHERE l.end_time IS NULL
   AND (l.pid < 0 OR a.pid IS NOT NULL AND @schema/own_backend.sql@ IS NOT FALSE)
   AND l.start_time < %s::timestamptz
