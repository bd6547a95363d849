-- The last steps of a run, in their order: its job_id, then how many at most, are the parameters.
WITH word AS (
    SELECT s.@code@ AS alert_code, s.@text@ AS alert_text FROM @schema@.job_status_text AS s
)
SELECT d.step_id,
       left(d.action, 500),
       to_char(d.start_time, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM'),
       to_char(d.end_time, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM'),
       left(d.status, 200),
       w.alert_code,
       extract(epoch FROM d.start_time - r.start_time)::float8,
       CASE WHEN d.end_time IS NOT NULL
            THEN coalesce(d.elapsed_time, extract(epoch FROM d.end_time - d.start_time))::float8
       END,
       left(d.message, 20000)
  FROM @schema@.job_log AS r
 CROSS JOIN LATERAL (
        SELECT s.step_id, s.action, s.start_time, s.end_time, s.status, s.elapsed_time, s.message
          FROM @schema@.job_detail AS s
         WHERE s.job_id = r.job_id
         ORDER BY s.step_id DESC
         LIMIT %s
       ) AS d
  LEFT JOIN word AS w ON w.alert_text = d.status
 WHERE r.job_id = %s
 ORDER BY d.step_id
