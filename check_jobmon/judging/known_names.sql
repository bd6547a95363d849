-- All names that were ever logged or configured, sorted.
SELECT left(j.job_name, 500) AS job_name FROM @schema@.job_check_config AS j
 UNION
SELECT left(j.job_name, 500) FROM (@schema/logged_names.sql@) AS j
 ORDER BY job_name
