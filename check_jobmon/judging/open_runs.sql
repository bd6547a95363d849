-- The number of open runs of each job that has any, with or without a backend. Names are cut as in job_status.sql.
SELECT CASE WHEN length(r.job_name) <= 10000 THEN r.job_name
            ELSE left(r.job_name, 500) || '...' || to_hex(hashtextextended(r.job_name, 0))
       END AS job_name,
       count(*)
  FROM @schema@.job_log AS r
 WHERE r.end_time IS NULL
 GROUP BY r.job_name
