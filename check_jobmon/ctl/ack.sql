-- Removes the failures that were listed, as they were listed: their job_ids and alert codes are the parameters. By no other
-- condition, because a run with a smaller job_id can fail meanwhile, and one that had failed as a warning can fail again as
-- critical.
WITH removed AS (
    DELETE FROM @schema@.job_check_log AS l
          USING unnest(%s::bigint[], %s::integer[]) AS seen(job_id, alert_code)
          WHERE l.job_id = seen.job_id
            AND l.alert_code = seen.alert_code
      RETURNING l.job_id
)
SELECT r.job_id, session_user::text
  FROM removed AS r
 ORDER BY r.job_id
