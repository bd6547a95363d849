-- Removes exactly the failures that were listed before. Parameters: their job_ids and alert codes. They are identified by both, because
-- meanwhile another run can fail that has a smaller job_id, and a run that had failed with a warning can fail again as critical.
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
