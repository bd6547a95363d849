-- The messages that the last call of job_log_clear() has logged. Parameter: the pid of the backend that called it.
SELECT left(d.message, 2000)
  FROM @schema@.job_detail AS d
 WHERE d.job_id = (SELECT l.job_id
                     FROM @schema@.job_log AS l
                    WHERE l.job_name = 'JOB LOG CLEAR' AND l.end_time IS NOT NULL AND l.pid = %s
                    ORDER BY l.end_time DESC
                    LIMIT 1)
 ORDER BY d.step_id
