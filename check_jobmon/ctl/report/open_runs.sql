-- The job_ids of the newest open runs of the jobs %s, an array of names.
SELECT r.job_id
  FROM @schema@.job_log AS r
 WHERE r.end_time IS NULL
   AND r.job_name = ANY (%s::text[])
 ORDER BY r.job_id DESC
 LIMIT @most@
