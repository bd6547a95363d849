-- The names of the jobs that are not in job_check_config. @all_names@: a SELECT of all names that were logged, in parentheses.
SELECT n.job_name
  FROM @all_names@ AS n
 WHERE NOT EXISTS (SELECT FROM @schema@.job_check_config AS c WHERE c.job_name = n.job_name)
 ORDER BY n.job_name
