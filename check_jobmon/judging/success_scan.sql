-- The same as success_index.sql, for a job_log without that index: reads the whole table once.
SELECT d.job_id, date_part('epoch', s.end_time)
  FROM @schema@.job_log AS d
  JOIN (SELECT r.job_name, max(r.end_time) AS end_time
          FROM @schema@.job_log AS r
         WHERE r.status = (SELECT max(s.@text@) FROM @schema@.job_status_text AS s WHERE s.@code@ = 1)
           AND r.end_time BETWEEN '1000-01-01' AND '9999-12-31'
         GROUP BY r.job_name) AS s ON s.job_name = d.job_name
 WHERE d.job_id = ANY (@job_ids@)
