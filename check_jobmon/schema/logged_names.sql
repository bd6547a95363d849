-- All names in job_log. If an index starts with job_name, this takes one index probe for each name. Completed and open runs are read
-- separately, because each of the two has its own index.
WITH RECURSIVE name AS (
    SELECT (SELECT r.job_name FROM @schema@.job_log AS r
             WHERE r.end_time IS NOT NULL
             ORDER BY r.job_name LIMIT 1) AS job_name
     UNION ALL
    SELECT (SELECT r.job_name FROM @schema@.job_log AS r
             WHERE r.end_time IS NOT NULL AND r.job_name > n.job_name
             ORDER BY r.job_name LIMIT 1)
      FROM name AS n
     WHERE n.job_name IS NOT NULL
)
SELECT n.job_name FROM name AS n WHERE n.job_name IS NOT NULL
 UNION
SELECT r.job_name FROM @schema@.job_log AS r WHERE r.end_time IS NULL
