-- All rows of job_check_config, in the order of JobConfig's fields. Without the columns owner, description
-- and runbook, which are new in version 7, @owner@, @description@ and @runbook@ are NULL.
SELECT left(c.job_name, 500),
       c.warn_threshold,
       c.error_threshold,
       coalesce(c.sensitivity, 0),
       coalesce(c.active, false),
       nullif(left(@owner@, 3000), ''),
       nullif(left(@description@, 3000), ''),
       nullif(left(@runbook@, 3000), '')
  FROM @schema@.job_check_config AS c
