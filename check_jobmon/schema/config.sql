-- job_check_config, of whatever version. @optional@: the columns that an older one may lack, NULL where it does.
SELECT c.job_name, c.warn_threshold, c.error_threshold, c.active, c.sensitivity, @optional@
  FROM @schema@.job_check_config AS c
