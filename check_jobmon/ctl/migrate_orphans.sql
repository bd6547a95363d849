-- Steps of runs that are not there: the old schema lets them be where job_log has children or partitions.
DELETE FROM @schema@.job_detail AS d
 WHERE NOT EXISTS (SELECT FROM @schema@.job_log AS l WHERE l.job_id = d.job_id)
