-- How many runs job_log_clear(), under way in the backend whose pid is the parameter, has deleted one by one. It says so itself: counting
-- the runs that are left would take a lock that keeps it from dropping partitions.
SELECT coalesce(substring(d.message FROM '[0-9]+')::bigint, 0)
  FROM @schema@.job_log AS l
  JOIN @schema@.job_detail AS d ON d.job_id = l.job_id
 WHERE l.job_name = 'JOB LOG CLEAR'
   AND l.end_time IS NULL
   AND l.pid = %s
 ORDER BY l.job_id DESC, d.step_id
 LIMIT 1
