-- How job_status.sql finds runs where job_log lacks an index that the other two ways need: it reads the whole table once.
failing AS (
    SELECT l.job_name,
           count(*) FILTER (WHERE l.alert_code = 3) AS criticals,
           count(*) AS failures,
           max(l.job_id) AS job_id
      FROM @schema@.job_check_log AS l
     WHERE l.alert_code IN (2, 3)
     GROUP BY l.job_name
),
logged AS (
    SELECT r.job_name,
           -- of the run that ended last: the greatest pair of end_time, in microseconds, and job_id
           (max(ARRAY[(extract(epoch FROM r.end_time) * 1000000)::bigint, r.job_id])
                FILTER (WHERE r.end_time BETWEEN '1000-01-01' AND '9999-12-31'))[2] AS job_id,
           array_agg(r.job_id) FILTER (WHERE r.end_time IS NULL) AS open_job_ids
      FROM @schema@.job_log AS r
     GROUP BY r.job_name
),
open_run AS (
    SELECT r.job_name, r.job_id, r.owner, r.pid, r.start_time, @next_due@ AS next_due
      FROM @schema@.job_log AS r
     WHERE r.job_id = ANY (ARRAY(SELECT unnest(l.open_job_ids) FROM logged AS l))
),
with_last_run AS (
    SELECT m.*, r.job_id AS done_job_id, r.start_time AS done_start, r.end_time AS done_end, r.status,
           CASE WHEN r.job_id IS NOT NULL THEN @next_due@ END AS done_next_due
      FROM monitored AS m
      LEFT JOIN (logged AS l JOIN @schema@.job_log AS r ON r.job_id = l.job_id) ON l.job_name = m.job_name
)
