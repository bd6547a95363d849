-- How job_status.sql finds runs where job_log has indexes that start with start_time, job_name and status, but none of
-- job_name and end_time: it reads the runs that began within the longest threshold once, and probes for older ones only
-- where one could change the answer.
failing AS (
    SELECT l.job_name,
           count(*) FILTER (WHERE l.alert_code = 3) AS criticals,
           count(*) AS failures,
           max(l.job_id) AS job_id
      FROM @schema@.job_check_log AS l
     WHERE l.alert_code IN (2, 3)
     GROUP BY l.job_name
),
in_window AS (
    SELECT r.job_name,
           -- of the run that ended last: the greatest pair of end_time, in microseconds, and job_id
           (max(ARRAY[(extract(epoch FROM r.end_time) * 1000000)::bigint, r.job_id])
                FILTER (WHERE r.end_time BETWEEN '1000-01-01' AND '9999-12-31'))[2] AS job_id,
           array_agg(r.job_id) FILTER (WHERE r.end_time IS NULL) AS open_job_ids
      FROM @schema@.job_log AS r
     WHERE r.start_time > (SELECT now() - least(greatest(max(c.error_threshold), max(c.warn_threshold)), '1000 years')
                             FROM config AS c
                            WHERE c.active
                           HAVING count(*) > 0)
     GROUP BY r.job_name
),
open_run AS (
    SELECT r.job_name, r.job_id, r.owner, r.pid, r.start_time, @next_due@ AS next_due
      FROM @schema@.job_log AS r
     WHERE r.end_time IS NULL
       AND r.job_id = ANY (ARRAY(
           SELECT unnest(w.open_job_ids) FROM in_window AS w
            UNION
           -- open since before the window: the status of an open run is NULL, and status has an index
           SELECT l.job_id FROM @schema@.job_log AS l WHERE l.status IS NULL AND l.end_time IS NULL))
),
newest_run AS (
    SELECT w.job_name, r.job_id, r.start_time, r.end_time, r.status, @next_due@ AS next_due
      FROM in_window AS w
      JOIN @schema@.job_log AS r ON r.job_id = w.job_id
),
with_last_run AS (
    SELECT m.*,
           coalesce(p.job_id, n.job_id) AS done_job_id,
           coalesce(p.start_time, n.start_time) AS done_start,
           coalesce(p.end_time, n.end_time) AS done_end,
           coalesce(p.status, n.status) AS status,
           CASE WHEN p.job_id IS NULL THEN n.next_due ELSE p.next_due END AS done_next_due
      FROM monitored AS m
      LEFT JOIN newest_run AS n ON n.job_name = m.job_name
      LEFT JOIN LATERAL (
            SELECT r.job_id, r.start_time, r.end_time, r.status, @next_due@ AS next_due
              FROM @schema@.job_log AS r
             WHERE r.job_name = m.job_name
               AND r.end_time BETWEEN '1000-01-01' AND '9999-12-31'
               -- A run that began before the window may have ended later; that matters if the job would alert without it.
               AND (n.job_id IS NULL OR m.lost_job_id IS NOT NULL OR m.schedule IS NOT NULL
                    OR n.end_time + least(m.warn_limit, m.error_limit) < now())
             ORDER BY r.end_time DESC
             LIMIT 1
           ) AS p ON true
)
