-- The step that shows best why the run @job_id@ failed: of its last thousand steps, the last one that failed; if none did, the last one.
-- status_text: the words for the alert codes.
SELECT d.action, d.message
  FROM (SELECT l.step_id
          FROM (SELECT s.step_id, s.status
                  FROM @schema@.job_detail AS s
                 WHERE s.job_id = @job_id@
                 ORDER BY s.step_id DESC
                 LIMIT 1000) AS l
         ORDER BY coalesce(l.status IN (SELECT t.alert_text FROM status_text AS t WHERE t.alert_code IN (2, 3)), false) DESC,
                  l.step_id DESC
         LIMIT 1) AS why
  JOIN @schema@.job_detail AS d ON d.job_id = @job_id@ AND d.step_id = why.step_id
 LIMIT 1
