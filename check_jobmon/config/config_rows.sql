-- All rows of job_check_config, in the order of JobConfig's fields.
SELECT left(c.job_name, 500),
       c.warn_threshold,
       c.error_threshold,
       coalesce(c.sensitivity, 0),
       coalesce(c.active, false)
  FROM @schema@.job_check_config AS c
