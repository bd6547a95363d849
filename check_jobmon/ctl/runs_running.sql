-- The newest open runs whose backend still exists. The name isn't used.
SELECT r.job_id
  FROM (SELECT %s AS name, %s AS number) AS asked
 CROSS JOIN LATERAL (
        SELECT l.job_id
          FROM @schema@.job_log AS l
          JOIN backend AS a ON a.pid = l.pid AND @schema/own_backend.sql@ IS NOT FALSE
         WHERE l.end_time IS NULL
         ORDER BY l.job_id DESC
         LIMIT asked.number
       ) AS r
