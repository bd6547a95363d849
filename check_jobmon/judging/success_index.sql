-- When some jobs last succeeded, in seconds since 1970. @job_ids@: the last completed run of each job. If that run failed, the last 20
-- successes are read with the index (job_name, status, job_id), because the job may have failed millions of times since.
-- @code@, @text@: as in status_texts.sql.
SELECT d.job_id,
       date_part('epoch', CASE WHEN d.status = t.ok THEN d.end_time
                               ELSE (SELECT max(s.end_time)
                                       FROM (SELECT r.end_time
                                               FROM @schema@.job_log AS r
                                              WHERE r.job_name = d.job_name
                                                AND r.end_time BETWEEN '1000-01-01' AND '9999-12-31'
                                                AND r.status = t.ok
                                              ORDER BY r.job_id DESC
                                              LIMIT 20) AS s)
                          END)
  FROM @schema@.job_log AS d
 CROSS JOIN (SELECT max(s.@text@) AS ok FROM @schema@.job_status_text AS s WHERE s.@code@ = 1) AS t
 WHERE d.job_id = ANY (@job_ids@)
