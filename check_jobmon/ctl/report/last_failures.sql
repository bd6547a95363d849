-- The job_ids of the last @room@ failed runs of each job.
WITH @ctl/report/runs_in_window.sql@
SELECT f.job_id
  FROM (SELECT r.job_id, row_number() OVER (PARTITION BY r.number ORDER BY r.end_time DESC, r.job_id DESC) AS place
          FROM run AS r
         WHERE r.alert_code IN (2, 3)
           AND r.end_time IS NOT NULL) AS f
 WHERE f.place <= @room@
