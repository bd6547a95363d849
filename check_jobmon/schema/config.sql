-- job_check_config in a schema of any version. @optional@: the columns that older versions lack, as NULL if this one does.
SELECT c.job_name, c.warn_threshold, c.error_threshold, c.active, c.sensitivity, @optional@
  FROM @schema@.job_check_config AS c
