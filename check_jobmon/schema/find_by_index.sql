-- How job_status.sql finds runs where the tables have the indexes of this schema: it probes them, a few times for each job.
-- job_log needs an index (job_name, end_time) and one of its open runs, job_check_log one that starts with job_name.
-- @newest@: whether job_log also has an index (end_time). A run that was refused counts as no run of the job.
failing AS (
    -- A job that has failed for weeks has thousands of rows here, so the index is read from each name to the next one.
    WITH RECURSIVE name AS (
        SELECT min(l.job_name) AS job_name FROM @schema@.job_check_log AS l
         UNION ALL
        SELECT (SELECT min(l.job_name) FROM @schema@.job_check_log AS l WHERE l.job_name > n.job_name)
          FROM name AS n
         WHERE n.job_name IS NOT NULL
    )
    SELECT n.job_name, f.criticals, f.failures, f.job_id
      FROM name AS n
     CROSS JOIN LATERAL (
            -- Counts the critical ones first, and stops @uncounted@ beyond the job's sensitivity.
            SELECT count(*) FILTER (WHERE r.alert_code = 3) AS criticals, count(*) AS failures, max(r.job_id) AS job_id
              FROM (SELECT l.alert_code, l.job_id
                      FROM @schema@.job_check_log AS l
                     WHERE l.job_name = n.job_name AND l.alert_code BETWEEN 2 AND 3
                     ORDER BY l.alert_code DESC
                     LIMIT 1 + @uncounted@ + coalesce(
                           (SELECT greatest(c.sensitivity, c.escalate) FROM config AS c WHERE c.job_name = n.job_name LIMIT 1),
                           @failures@ - 1)
                   ) AS r
           ) AS f
     WHERE f.failures > 0
),
open_run AS (
    SELECT r.job_name, r.job_id, r.owner, r.pid, r.start_time, @next_due@ AS next_due
      FROM @schema@.job_log AS r
     WHERE r.end_time IS NULL
),
completed_run AS NOT MATERIALIZED (
    SELECT r.job_name, r.job_id, r.start_time, r.end_time, r.status, @next_due@ AS next_due
      FROM @schema@.job_log AS r
     WHERE r.end_time BETWEEN '1000-01-01' AND '9999-12-31'
       AND @schema/was_no_refusal.sql@
),
newest_run AS (
    -- Reads a few of the newest completed runs first, two for each configured job: a job found there needs no probe, which costs
    -- as much as 14 rows. The inner limit tells the planner that they are few.
    SELECT DISTINCT ON (r.job_name) r.job_name, r.job_id, r.start_time, r.end_time, r.status, r.next_due
      FROM (SELECT *
              FROM (SELECT * FROM completed_run AS c ORDER BY c.end_time DESC LIMIT 4000) AS c
             ORDER BY c.end_time DESC
             LIMIT (SELECT 2 * count(*) FROM config AS c)) AS r
     WHERE @newest@
     ORDER BY r.job_name, r.end_time DESC
),
with_last_run AS (
    -- Each probe also has an upper limit of the pair (job_name, end_time). Without it, PostgreSQL may use the index of end_time alone if
    -- the log has only a few job names, and then reads all recent runs of the other jobs.
    -- A probe looks into all partitions, if there are any, so the first one leaves out those of runs that began more than 2 days ago.
    -- One of these runs may have ended later than the run found; that matters if the job is judged by how long it takes or by a schedule,
    -- or would alert otherwise.
    SELECT m.*,
           coalesce(n.job_id, p.job_id, w.job_id) AS done_job_id,
           coalesce(n.start_time, p.start_time, w.start_time) AS done_start,
           coalesce(n.end_time, p.end_time, w.end_time) AS done_end,
           CASE WHEN n.job_id IS NOT NULL THEN n.status WHEN p.job_id IS NOT NULL THEN p.status ELSE w.status END AS status,
           CASE WHEN n.job_id IS NOT NULL THEN n.next_due WHEN p.job_id IS NOT NULL THEN p.next_due ELSE w.next_due END AS done_next_due
      FROM monitored AS m
      LEFT JOIN newest_run AS n ON n.job_name = m.job_name
      LEFT JOIN LATERAL (
            SELECT q.*
              -- asked here, not once in each partition
              FROM (SELECT WHERE n.job_id IS NULL OFFSET 0) AS unfound
             CROSS JOIN LATERAL (
                    SELECT * FROM completed_run AS c
                     WHERE c.job_name = m.job_name
                       AND c.end_time >= now() - interval '2 days'
                       AND (c.job_name, c.end_time) <= (m.job_name, '9999-12-31'::timestamptz)
                       AND c.start_time BETWEEN now() - interval '2 days' AND now() + interval '1 hour'
                     ORDER BY c.end_time DESC
                     LIMIT 1
                   ) AS q
           ) AS w ON true
      LEFT JOIN LATERAL (
            SELECT q.*
              FROM (SELECT
                     WHERE n.job_id IS NULL
                       AND (w.job_id IS NULL OR m.lost_job_id IS NOT NULL
                            OR w.end_time + least(m.warn_limit, m.error_limit) < now()
                            OR NOT ROW(m.schedule, m.slow_factor, m.warn_duration, m.error_duration, m.min_duration) IS NULL)
                    OFFSET 0) AS unfound
             CROSS JOIN LATERAL (
                    SELECT * FROM completed_run AS c
                     WHERE c.job_name = m.job_name
                       AND (c.job_name, c.end_time) <= (m.job_name, '9999-12-31'::timestamptz)
                     ORDER BY c.end_time DESC
                     LIMIT 1
                   ) AS q
           ) AS p ON true
)
