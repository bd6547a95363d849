-- The runs in some blocks of a table. @part@: the table, @from@ and @to@: the blocks, @schema@: where the runs go.
INSERT INTO @schema@.job_log (job_id, owner, job_name, start_time, end_time, status, pid)
SELECT l.job_id, l.owner, l.job_name, l.start_time, l.end_time, l.status, l.pid
  FROM ONLY @part@ AS l
 WHERE l.ctid >= '(@from@,0)' AND l.ctid < '(@to@,0)'
