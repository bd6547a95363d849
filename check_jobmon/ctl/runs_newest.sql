-- The newest runs of all jobs. All files runs_*.sql have the same parameters: a name, which this one doesn't use, and a number of runs.
SELECT r.job_id
  FROM (SELECT %s AS name, %s AS number) AS asked
 CROSS JOIN LATERAL (
        SELECT l.job_id
          FROM @schema@.job_log AS l
         ORDER BY l.job_id DESC
         LIMIT asked.number
       ) AS r
