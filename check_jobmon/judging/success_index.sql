-- When the job of each of these runs, its last completed one, has succeeded last, in seconds since 1970. Where it has failed since,
-- looks at the last 20 successes by the index (job_name, status, job_id): a job may have failed millions of times.
-- @job_ids@: the runs. @code@, @text@: as in status_texts.sql.
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
