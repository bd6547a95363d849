-- Whether a job has the name that is the parameter: one of a run, configured, or failing; and that name in upper case. Completed
-- and open runs apart, because each have an index of their own.
SELECT EXISTS (SELECT FROM @schema@.job_log AS l WHERE l.end_time IS NOT NULL AND l.job_name = n.name)
       OR EXISTS (SELECT FROM @schema@.job_log AS l WHERE l.end_time IS NULL AND l.job_name = n.name)
       OR EXISTS (SELECT FROM @schema@.job_check_config AS c WHERE c.job_name = n.name)
       OR EXISTS (SELECT FROM @schema@.job_check_log AS l WHERE l.job_name = n.name),
       n.name
  FROM (SELECT upper(%s) AS name) AS n
