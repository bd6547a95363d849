-- The last steps of each job's last run, at most @limit@ per run. @job_status@: the check's SELECT.
SELECT d.job_id, d.action, d.status, d.elapsed_time, d.message
  FROM (SELECT DISTINCT greatest(j.alive_job_id, j.crashed_job_id, j.done_job_id) AS job_id FROM (@job_status@) AS j) AS r
 CROSS JOIN LATERAL (
        SELECT n.job_id, n.step_id, left(n.action, 500) AS action, left(n.status, 200) AS status,
               n.elapsed_time, left(n.message, 2000) AS message
          FROM @schema@.job_detail AS n
         WHERE n.job_id = r.job_id
         ORDER BY n.step_id DESC
         LIMIT @limit@
       ) AS d
 ORDER BY d.job_id, d.step_id
