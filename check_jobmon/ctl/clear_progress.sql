-- How many runs a call of job_log_clear() that is under way has deleted so far, apart from dropped partitions. Parameter: the pid of its
-- backend. The number is read from the message of its step, because counting the remaining runs would lock the partitions, which then
-- couldn't be dropped.
SELECT coalesce((SELECT substring(d.message FROM '[0-9]+')::bigint
                   FROM @schema@.job_log AS l
                   JOIN @schema@.job_detail AS d ON d.job_id = l.job_id
                  WHERE l.job_name = 'JOB LOG CLEAR'
                    AND l.end_time IS NULL
                    AND l.pid = %s
                  ORDER BY l.job_id DESC, d.step_id
                  LIMIT 1), 0)
