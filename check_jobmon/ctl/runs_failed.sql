-- The newest runs that failed. @name_filter@: a condition on job_log AS l. The parameters are those of the condition and, twice,
-- how many.
SELECT f.job_id
  FROM status_text AS s
 CROSS JOIN LATERAL (
        SELECT l.job_id
          FROM @schema@.job_log AS l
         WHERE l.status = s.alert_text
           AND l.end_time IS NOT NULL
           AND @name_filter@
         ORDER BY l.job_id DESC
         LIMIT %s
       ) AS f
 WHERE s.alert_code IN (2, 3)
 ORDER BY f.job_id DESC
 LIMIT %s
