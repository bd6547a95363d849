-- The steps in some blocks of a table. @part@: the table, @from@ and @to@: the blocks, @schema@: where the steps go.
INSERT INTO @schema@.job_detail (job_id, step_id, action, start_time, end_time, elapsed_time, status, message)
SELECT d.job_id, d.step_id, d.action, d.start_time, d.end_time, d.elapsed_time, d.status, d.message
  FROM ONLY @part@ AS d
 WHERE d.ctid >= '(@from@,0)' AND d.ctid < '(@to@,0)'
