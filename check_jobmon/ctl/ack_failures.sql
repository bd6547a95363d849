-- What ack can acknowledge: the failures, and, with the alert code 0, the runs that have crashed. @condition@: a condition on l, with one
-- parameter: a name or a job_id.
SELECT l.job_id, l.alert_code, left(l.job_name, 500)
  FROM @schema@.job_check_log AS l
 WHERE l.alert_code > 1
   AND @condition@
 UNION ALL
SELECT l.job_id, 0, left(l.job_name, 500)
  FROM @schema@.job_log AS l
 WHERE l.end_time IS NULL
   -- if the pid is negative, the backend is on another server, where it can't be seen
   AND l.pid >= 0
   AND NOT pg_is_in_recovery()
   AND NOT EXISTS (SELECT FROM pg_stat_activity AS a
                    WHERE a.pid = l.pid AND a.datname = current_database() AND @schema/own_backend.sql@ IS NOT FALSE)
   AND @condition@
 ORDER BY 1
