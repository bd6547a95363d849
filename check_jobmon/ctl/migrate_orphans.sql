-- Deletes the steps of runs that don't exist. In the old schema there may be such steps, if its job_log has children or partitions.
DELETE FROM @schema@.job_detail AS d
 WHERE NOT EXISTS (SELECT FROM @schema@.job_log AS l WHERE l.job_id = d.job_id)
