-- The messages that job_log_clear() logged when it was called last by the backend whose pid is the parameter.
SELECT left(d.message, 2000)
  FROM @schema@.job_detail AS d
 WHERE d.job_id = (SELECT l.job_id
                     FROM @schema@.job_log AS l
                    WHERE l.job_name = 'JOB LOG CLEAR' AND l.end_time IS NOT NULL AND l.pid = %s
                    ORDER BY l.end_time DESC
                    LIMIT 1)
 ORDER BY d.step_id
