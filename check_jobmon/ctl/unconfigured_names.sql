-- The names of the jobs that were logged and are not in job_check_config.
SELECT n.job_name
  FROM (@schema/logged_names.sql@) AS n
 WHERE NOT EXISTS (SELECT FROM @schema@.job_check_config AS c WHERE c.job_name = n.job_name)
 ORDER BY n.job_name
