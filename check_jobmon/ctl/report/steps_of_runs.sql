-- The last steps of some runs, in order. Parameters: the greatest length of a message in characters, the runs' job_ids, and the greatest
-- number of steps per run.
WITH status_text AS (
    SELECT s.@code@ AS alert_code, s.@text@ AS alert_text FROM @schema@.job_status_text AS s
),
asked AS (
    SELECT %s AS characters, %s::bigint[] AS job_ids, %s AS steps
)
SELECT d.job_id, d.action, d.status, t.alert_code, d.elapsed_time, d.message
  FROM asked AS a
 CROSS JOIN LATERAL unnest(a.job_ids) AS n(job_id)
 CROSS JOIN LATERAL (
        SELECT s.job_id, s.step_id, left(s.action, a.characters) AS action, left(s.status, 100) AS status,
               CASE WHEN s.elapsed_time BETWEEN 0 AND 1e12 THEN s.elapsed_time::float8 END AS elapsed_time,
               left(s.message, a.characters) AS message
          FROM @schema@.job_detail AS s
         WHERE s.job_id = n.job_id
         ORDER BY s.step_id DESC
         LIMIT a.steps
       ) AS d
  LEFT JOIN status_text AS t ON t.alert_text = d.status
 ORDER BY d.job_id, d.step_id
