-- Whether the job was really executed in the completed run r. If it was already running, the run was refused: it has ended with alert
-- code 2, and the action of its only step is @refusal@.
(r.status IS DISTINCT FROM (SELECT t.alert_text FROM status_text AS t WHERE t.alert_code = 2)
 OR (SELECT d.action FROM @schema@.job_detail AS d WHERE d.job_id = r.job_id ORDER BY d.step_id LIMIT 1) IS DISTINCT FROM '@refusal@')
