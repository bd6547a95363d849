-- How many of the runs that started before the time that is the parameter are under way.
SELECT count(*)
  FROM @schema@.job_log AS l
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
 WHERE l.end_time IS NULL
   AND (l.pid < 0 OR a.pid IS NOT NULL AND @schema/own_backend.sql@ IS NOT FALSE)
   AND l.start_time < %s::timestamptz
