-- The newest runs that failed, of all jobs or of one. Its name may be in upper or lower case.
SELECT newest.job_id
  FROM (SELECT %s AS name, %s AS number) AS asked
 CROSS JOIN LATERAL (
        SELECT f.job_id
          FROM status_text AS s
         CROSS JOIN LATERAL (
                SELECT l.job_id
                  FROM @schema@.job_log AS l
                 WHERE l.status = s.alert_text
                   AND l.end_time IS NOT NULL
                   AND (asked.name IS NULL OR l.job_name = upper(asked.name))
                 ORDER BY l.job_id DESC
                 LIMIT asked.number
               ) AS f
         WHERE s.alert_code IN (2, 3)
         ORDER BY f.job_id DESC
         LIMIT asked.number
       ) AS newest
