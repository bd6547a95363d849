-- Whether the completed run r was not refused because the job was already running. A refused run has ended with alert code 2 and has
-- a single step, whose action is @refusal@.
(r.status IS DISTINCT FROM (SELECT t.alert_text FROM status_text AS t WHERE t.alert_code = 2)
 OR (SELECT d.action FROM @schema@.job_detail AS d WHERE d.job_id = r.job_id ORDER BY d.step_id LIMIT 1) IS DISTINCT FROM '@refusal@')
