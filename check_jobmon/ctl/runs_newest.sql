-- The newest runs of all jobs. The parameters of all runs_*.sql: a name, which this one doesn't use, and how many.
SELECT r.job_id
  FROM (SELECT %s AS name, %s AS number) AS asked
 CROSS JOIN LATERAL (
        SELECT l.job_id
          FROM @schema@.job_log AS l
         ORDER BY l.job_id DESC
         LIMIT asked.number
       ) AS r
