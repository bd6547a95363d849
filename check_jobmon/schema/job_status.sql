-- The check: one row for each monitored job, worst first. The only place where a job is judged.
-- Monitored: what job_check_config names, and any other job that has failed since its last success or has an open run.
-- check_job_status() is created from this text and the plugin runs it as it is, so it reads tables and nothing else of
-- the schema. Every name is qualified, and what has none (operators, casts) comes from a search_path of pg_catalog alone.
-- Filled in before it is run:
--   @layout@    how to find the last completed run of a job: 'probe' where job_log has this schema's indexes (job_name,
--               end_time) and, of the open runs, (job_name); 'window' where it has those that start with job_name,
--               start_time and status; 'scan' where one of these is missing. The planner drops what the layout doesn't need.
--   @also@      a SELECT of names to judge besides
--   @selected@  a condition on m.job_name
WITH word AS (
    -- by way of JSON, because the columns have two names: alert_* here, error_* in older schemas
    SELECT coalesce(t.j ->> 'alert_code', t.j ->> 'error_code')::integer AS alert_code,
           coalesce(t.j ->> 'alert_text', t.j ->> 'error_text') AS alert_text
      FROM (SELECT to_jsonb(s) AS j FROM @schema@.job_status_text AS s) AS t
),
failing AS (
    SELECT l.job_name,
           count(*) FILTER (WHERE l.alert_code = 3) AS criticals,
           count(*) AS failures,
           max(l.job_id) AS job_id
      FROM @schema@.job_check_log AS l
     WHERE l.alert_code IN (2, 3)
     GROUP BY l.job_name
),
recent AS MATERIALIZED (
    -- one pass over the window that the thresholds look back on, or without an index over all
    SELECT r.job_name,
           -- the run that ended last: the greatest pair of its end, in microseconds, and its number
           (max(ARRAY[CASE r.end_time WHEN 'infinity' THEN 9223372036854775807
                                      WHEN '-infinity' THEN -9223372036854775807
                                      ELSE (extract(epoch FROM r.end_time) * 1000000)::bigint
                      END, r.job_id]) FILTER (WHERE r.end_time IS NOT NULL))[2] AS job_id,
           array_agg(r.job_id) FILTER (WHERE r.end_time IS NULL) AS open_job_ids
      FROM @schema@.job_log AS r
     WHERE '@layout@' <> 'probe'
       AND ('@layout@' = 'scan'
            OR r.start_time > (SELECT now() - least(greatest(max(c.error_threshold), max(c.warn_threshold)), '1000 years')
                                 FROM @schema@.job_check_config AS c
                                WHERE c.active
                               HAVING count(*) > 0))
     GROUP BY r.job_name
),
latest AS (
    SELECT w.job_name, w.job_id, r.start_time, r.end_time, r.status
      FROM recent AS w
      JOIN @schema@.job_log AS r ON r.job_id = w.job_id
),
open_run AS MATERIALIZED (
    -- A pid alone proves nothing, pids are reused: the backend must have been there when the run started. Who may not
    -- see other sessions' backend_start gets NULL; then the pid has to do.
    SELECT r.job_name, r.job_id, r.pid, r.start_time,
           pg_is_in_recovery() OR (a.pid IS NOT NULL AND coalesce(a.backend_start <= r.start_time, true)) AS alive
      FROM @schema@.job_log AS r
      LEFT JOIN pg_stat_activity AS a
        ON a.pid = r.pid AND a.datname = current_database()
     WHERE r.end_time IS NULL
       AND ('@layout@' = 'probe'
            OR r.job_id = ANY (ARRAY(
               SELECT unnest(w.open_job_ids) FROM recent AS w
                UNION
               -- what is open since before the window: its status is not set either, and that has an index
               SELECT o.job_id
                 FROM @schema@.job_log AS o
                WHERE '@layout@' = 'window' AND o.status IS NULL AND o.end_time IS NULL)))
),
alive AS (
    SELECT DISTINCT ON (o.job_name) o.job_name, o.job_id, o.pid, o.start_time
      FROM open_run AS o
     WHERE o.alive
     ORDER BY o.job_name, o.start_time DESC, o.job_id DESC
),
dead AS (
    SELECT DISTINCT ON (o.job_name) o.job_name, o.job_id, o.pid, o.start_time
      FROM open_run AS o
     WHERE NOT o.alive
     ORDER BY o.job_name, o.start_time DESC, o.job_id DESC
),
monitored AS (
    SELECT c.job_name, true AS configured, coalesce(c.active, false) AS active,
           c.warn_threshold, c.error_threshold, coalesce(c.sensitivity, 0)::integer AS sensitivity
      FROM @schema@.job_check_config AS c
    UNION ALL
    SELECT n.job_name, false, true, NULL, NULL, @failures@ - 1
      FROM (SELECT f.job_name FROM failing AS f
             UNION
            SELECT o.job_name FROM open_run AS o
             UNION
            @also@) AS n
     WHERE NOT EXISTS (SELECT FROM @schema@.job_check_config AS c WHERE c.job_name = n.job_name)
),
judged AS (
    SELECT m.*,
           coalesce(f.failures, 0) AS failures,
           f.job_id AS failed_job_id,
           done.job_id AS done_job_id, done.start_time AS done_start, done.end_time AS done_end, done.status,
           alive.job_id AS alive_job_id, alive.pid AS alive_pid, alive.start_time AS alive_start,
           seen.at AS seen_at,
           CASE WHEN NOT m.active THEN 1
                WHEN f.criticals > m.sensitivity THEN 3
                WHEN f.failures > m.sensitivity THEN 2
                ELSE 1
           END AS failed_code,
           CASE WHEN NOT (m.configured AND m.active) THEN 1
                WHEN seen.at IS NULL OR error.at < now() THEN 3
                WHEN warn.at < now() THEN 2
                ELSE 1
           END AS missing_code,
           -- a month is as long as it is from that run on
           CASE WHEN isfinite(warn.at) THEN warn.at - seen.at ELSE m.warn_threshold END AS warn_after,
           CASE WHEN isfinite(error.at) THEN error.at - seen.at ELSE m.error_threshold END AS error_after,
           CASE WHEN dead.start_time > coalesce(done.start_time, '-infinity') THEN dead.job_id END AS crashed_job_id,
           CASE WHEN dead.start_time > coalesce(done.start_time, '-infinity') THEN dead.start_time END AS crashed_start
      FROM monitored AS m
      LEFT JOIN failing AS f ON f.job_name = m.job_name
      LEFT JOIN latest ON latest.job_name = m.job_name
      LEFT JOIN alive ON alive.job_name = m.job_name
      LEFT JOIN dead ON dead.job_name = m.job_name
      LEFT JOIN LATERAL (
            -- In a window a longer run may hide that began before it; so who would alert by the window is probed too.
            SELECT r.job_id, r.start_time, r.end_time, r.status
              FROM @schema@.job_log AS r
             WHERE ('@layout@' = 'probe'
                    OR '@layout@' = 'window' AND (
                       latest.job_id IS NULL
                       OR dead.job_id IS NOT NULL
                       OR latest.end_time + least(m.warn_threshold, m.error_threshold, '1000 years') < now()))
               AND r.job_name = m.job_name
               AND r.end_time IS NOT NULL
             ORDER BY r.end_time DESC
             LIMIT 1
           ) AS probed ON true
     CROSS JOIN LATERAL (
            SELECT coalesce(probed.job_id, latest.job_id) AS job_id,
                   coalesce(probed.start_time, latest.start_time) AS start_time,
                   coalesce(probed.end_time, latest.end_time) AS end_time,
                   coalesce(probed.status, latest.status) AS status
           ) AS done
     CROSS JOIN LATERAL (SELECT greatest(done.end_time, alive.start_time) AS at) AS seen
     -- Beyond a thousand years either way a sum could leave the range of a timestamp.
     CROSS JOIN LATERAL (
            SELECT CASE WHEN m.warn_threshold >= '1000 years' THEN 'infinity'
                        WHEN m.warn_threshold <= '-1000 years' THEN '-infinity'
                        ELSE seen.at + m.warn_threshold
                   END AS at
           ) AS warn
     CROSS JOIN LATERAL (
            SELECT CASE WHEN m.error_threshold >= '1000 years' THEN 'infinity'
                        WHEN m.error_threshold <= '-1000 years' THEN '-infinity'
                        ELSE seen.at + m.error_threshold
                   END AS at
           ) AS error
     WHERE @selected@
)
SELECT j.job_name,
       j.configured,
       j.active,
       greatest(j.failed_code, j.missing_code) AS alert_code,
       j.failed_code,
       j.missing_code,
       CASE WHEN j.missing_code = 1 THEN NULL
            WHEN j.alive_job_id IS NULL OR pg_is_in_recovery() THEN 'MISSING'
            WHEN blocker.pid IS NOT NULL THEN 'BLOCKED'
            ELSE 'RUNNING'
       END AS missing_status,
       j.failures,
       j.sensitivity,
       extract(epoch FROM now() - j.seen_at)::float8 AS age,
       extract(epoch FROM j.warn_after)::float8 AS warn_after,
       extract(epoch FROM j.error_after)::float8 AS error_after,
       extract(epoch FROM j.done_end - j.done_start)::float8 AS duration,
       j.done_job_id,
       to_char(j.done_start, 'YYYY-MM-DD HH24:MI:SS OF') AS done_start,
       to_char(j.done_end, 'YYYY-MM-DD HH24:MI:SS OF') AS done_end,
       j.status,
       j.alive_job_id,
       j.alive_pid,
       to_char(j.alive_start, 'YYYY-MM-DD HH24:MI:SS OF') AS alive_start,
       pg_is_in_recovery() AS unverified,
       j.crashed_job_id,
       to_char(j.crashed_start, 'YYYY-MM-DD HH24:MI:SS OF') AS crashed_start,
       blocker.pid AS blocker_pid,
       blocker.usename AS blocker_user,
       blocker.application_name AS blocker_application,
       to_char(blocker.xact_start, 'YYYY-MM-DD HH24:MI:SS OF') AS blocker_since,
       step.action AS failed_action,
       step.message AS failed_message
  FROM judged AS j
  LEFT JOIN LATERAL (
        -- pid 0 stands for a prepared transaction, which has no backend
        SELECT b.pid, a.usename, a.application_name, a.xact_start
          FROM unnest(pg_blocking_pids(j.alive_pid)) AS b(pid)
          LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
         ORDER BY a.xact_start, b.pid
         LIMIT 1
       ) AS blocker ON j.missing_code > 1 AND NOT pg_is_in_recovery()
  LEFT JOIN LATERAL (
        -- the step that says why: the last one marked as failed, or else the last one
        SELECT d.action, d.message
          FROM @schema@.job_detail AS d
         WHERE d.job_id = j.failed_job_id
         ORDER BY coalesce(d.status IN (SELECT w.alert_text FROM word AS w WHERE w.alert_code IN (2, 3)), false) DESC,
                  d.step_id DESC
         LIMIT 1
       ) AS step ON j.failed_code > 1
 ORDER BY alert_code DESC, j.job_name
