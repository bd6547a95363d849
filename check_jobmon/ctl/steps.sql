-- The last steps of a run, in order. Parameters: the greatest number of steps, and the run's job_id.
WITH status_text AS (
    SELECT s.@code@ AS alert_code, s.@text@ AS alert_text FROM @schema@.job_status_text AS s
)
SELECT d.step_id,
       left(d.action, 500),
       CASE WHEN d.start_time BETWEEN '0002-01-01' AND '9999-01-01'
            THEN to_char(d.start_time, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM')
            ELSE d.start_time::text
       END,
       CASE WHEN d.end_time BETWEEN '0002-01-01' AND '9999-01-01'
            THEN to_char(d.end_time, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM')
            ELSE d.end_time::text
       END,
       left(d.status, 200),
       w.alert_code,
       CASE WHEN d.start_time BETWEEN '0002-01-01' AND '9999-01-01' AND r.start_time BETWEEN '0002-01-01' AND '9999-01-01'
            THEN extract(epoch FROM d.start_time - r.start_time)::float8
            ELSE 0
       END,
       CASE WHEN d.elapsed_time BETWEEN -1e12 AND 1e12 AND d.end_time IS NOT NULL THEN d.elapsed_time::float8
            WHEN d.end_time BETWEEN '0002-01-01' AND '9999-01-01' AND d.start_time BETWEEN '0002-01-01' AND '9999-01-01'
            THEN extract(epoch FROM d.end_time - d.start_time)::float8
       END,
       -- cuts messages so that all together have at most 400,000 characters, but none to less than 2,000
       CASE WHEN length(left(d.message, d.most + 1)) > d.most THEN left(d.message, d.most) || ' [...]' ELSE d.message END
  FROM @schema@.job_log AS r
 CROSS JOIN LATERAL (
        SELECT s.*, greatest(2000, 400000 / count(*) OVER ())::integer AS most
          FROM (SELECT n.step_id, n.action, n.start_time, n.end_time, n.status, n.elapsed_time, n.message
                  FROM @schema@.job_detail AS n
                 WHERE n.job_id = r.job_id
                 ORDER BY n.step_id DESC
                 LIMIT %s) AS s
       ) AS d
  LEFT JOIN status_text AS w ON w.alert_text = d.status
 WHERE r.job_id = %s
 ORDER BY d.step_id
