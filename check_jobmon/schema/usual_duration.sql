-- How long the runs of the job m.job_name usually take: the median of its last 20 good runs, NULL if there are fewer than five.
SELECT CASE WHEN count(*) >= 5
            THEN least((percentile_cont(0.5) WITHIN GROUP (ORDER BY g.end_time - g.start_time)), '1000 years')
       END
  FROM (SELECT r.start_time, r.end_time
          FROM @schema@.job_log AS r
         WHERE r.job_name = m.job_name
           AND r.end_time IS NOT NULL
           AND r.status = (SELECT t.alert_text FROM status_text AS t WHERE t.alert_code = 1)
           AND r.start_time BETWEEN '1000-01-01' AND '9999-12-31'
           AND r.end_time BETWEEN r.start_time AND '9999-12-31'
         ORDER BY r.job_id DESC
         LIMIT 20) AS g
