-- How many runs a call of job_log_clear() that is under way has deleted one by one. The parameter is the pid of its backend. The message of
-- its step has the number: counting the runs that are left would take a lock, and that would keep partitions from being dropped.
SELECT coalesce((SELECT substring(d.message FROM '[0-9]+')::bigint
                   FROM @schema@.job_log AS l
                   JOIN @schema@.job_detail AS d ON d.job_id = l.job_id
                  WHERE l.job_name = 'JOB LOG CLEAR'
                    AND l.end_time IS NULL
                    AND l.pid = %s
                  ORDER BY l.job_id DESC, d.step_id
                  LIMIT 1), 0)
