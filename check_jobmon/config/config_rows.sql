-- All rows of job_check_config, in the order of JobConfig's fields. @config@: config.sql.
SELECT left(c.job_name, 500),
       c.warn_threshold,
       c.error_threshold,
       coalesce(c.sensitivity, 0),
       coalesce(c.active, false),
       nullif(left(c.owner, 3000), ''),
       nullif(left(c.description, 3000), ''),
       nullif(left(c.runbook, 3000), '')
  FROM (@config@) AS c
