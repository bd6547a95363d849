-- All names that were ever logged or configured, sorted. @logged_names@: logged_names.sql, in parentheses.
SELECT left(j.job_name, 500) AS job_name FROM @schema@.job_check_config AS j
 UNION
SELECT left(j.job_name, 500) FROM @logged_names@ AS j
 ORDER BY job_name
