-- Whether a job with a given name has a run, is configured or is failing; and the name in upper case. Parameter: the name. Completed and
-- open runs are read separately, because each of the two has its own index.
SELECT EXISTS (SELECT FROM @schema@.job_log AS l WHERE l.end_time IS NOT NULL AND l.job_name = n.name)
       OR EXISTS (SELECT FROM @schema@.job_log AS l WHERE l.end_time IS NULL AND l.job_name = n.name)
       OR EXISTS (SELECT FROM @schema@.job_check_config AS c WHERE c.job_name = n.name)
       OR EXISTS (SELECT FROM @schema@.job_check_log AS l WHERE l.job_name = n.name),
       n.name
  FROM (SELECT upper(%s) AS name) AS n
