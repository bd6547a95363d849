-- All rows of job_check_config, with columns in the order of JobConfig's fields; its field `slow` is made from the last two columns.
SELECT left(c.job_name, 500),
       c.warn_threshold,
       c.error_threshold,
       coalesce(c.sensitivity, 0),
       coalesce(c.active, false),
       left(c.schedule, 3000),
       coalesce(left(c.timezone, 3000), 'UTC'),
       c.error_duration,
       c.min_duration,
       nullif(left(c.depends_on, 500), ''),
       c.escalate,
       nullif(left(c.owner, 3000), ''),
       nullif(left(c.description, 3000), ''),
       nullif(left(c.runbook, 3000), ''),
       c.warn_duration,
       c.slow_factor::numeric::float8 -- real has only six digits
  FROM (@schema/config.sql@) AS c
