-- The check: one row for each monitored job, in no order. The only place where a job is judged.
-- Monitored: what job_check_config names, and any other job that has failed since its last success or has an open run.
-- check_job_status() is created from this text and the plugin runs it as it is, so it reads tables and nothing else of
-- the schema. Every name is qualified, and what has none (operators, casts) comes from a search_path of pg_catalog alone.
-- Filled in before it is run:
--   @layout@    how to find what there is of a job: 'probe' where job_log has this schema's indexes (job_name, end_time) and,
--               of the open runs, (job_name), and job_check_log has one that starts with job_name; else 'window' where
--               job_log has those that start with job_name, start_time and status; 'scan' where one of these is missing.
--               What stands between brackets is for the layouts that are named there, and left out for others.
--   @newest@    whether job_log has an index (end_time) of the completed runs
--   @failures@  how many failures alert for a job without configuration
--   @uncounted@ how many beyond a job's sensitivity are counted at least, before counting stops
--   @refusal@   the action of the step of a run that was refused because the job was under way: no run of the job
--   @also@      a SELECT of names to judge besides
--   @selected@  a condition on m.job_name
--   @code@, @text@  the columns of job_status_text: alert_code and alert_text here, error_code and error_text in older schemas
-- Texts are cut to what can be of use, because whoever may log can write texts of any length.
-- A run with a time that no clock shows (infinity, the year 200000), which only a hand can have written, doesn't count: it
-- would hide for ever that the job is missing, and sums with it leave the range of a timestamp.
WITH word AS (
    SELECT s.@code@ AS alert_code, s.@text@ AS alert_text FROM @schema@.job_status_text AS s
),
failing AS (
-- [probe
    -- by the index from name to name, because a job that fails for weeks has thousands of rows here
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
            -- at most so many more than are let pass, the critical ones first
            SELECT count(*) FILTER (WHERE r.alert_code = 3) AS criticals, count(*) AS failures, max(r.job_id) AS job_id
              FROM (SELECT l.alert_code, l.job_id
                      FROM @schema@.job_check_log AS l
                     WHERE l.job_name = n.job_name AND l.alert_code BETWEEN 2 AND 3
                     ORDER BY l.alert_code DESC
                     LIMIT 1 + @uncounted@ + coalesce(
                           (SELECT c.sensitivity FROM @schema@.job_check_config AS c WHERE c.job_name = n.job_name LIMIT 1),
                           @failures@ - 1)
                   ) AS r
           ) AS f
     WHERE f.failures > 0
-- ] [window, scan
    SELECT l.job_name,
           count(*) FILTER (WHERE l.alert_code = 3) AS criticals,
           count(*) AS failures,
           max(l.job_id) AS job_id
      FROM @schema@.job_check_log AS l
     WHERE l.alert_code IN (2, 3)
     GROUP BY l.job_name
-- ]
),
-- [window, scan
recent AS MATERIALIZED (
    -- one pass over the window that the thresholds look back on, or without an index over all
    SELECT r.job_name,
           -- the run that ended last: the greatest pair of its end, in microseconds, and its number
           (max(ARRAY[(extract(epoch FROM r.end_time) * 1000000)::bigint, r.job_id])
                FILTER (WHERE r.end_time BETWEEN '1000-01-01' AND '9999-12-31'))[2] AS job_id,
           array_agg(r.job_id) FILTER (WHERE r.end_time IS NULL) AS open_job_ids
      FROM @schema@.job_log AS r
     WHERE '@layout@' = 'scan'
        OR r.start_time > (SELECT now() - least(greatest(max(c.error_threshold), max(c.warn_threshold)), '1000 years')
                             FROM @schema@.job_check_config AS c
                            WHERE c.active
                           HAVING count(*) > 0)
     GROUP BY r.job_name
),
-- ]
latest AS (
-- [probe
    -- Where jobs are many, the runs that ended last spare those that run often their probe, which costs as much as 16 rows.
    SELECT DISTINCT ON (r.job_name) r.job_name, r.job_id, r.start_time, r.end_time, r.status
      FROM (SELECT n.job_name, n.job_id, n.start_time, n.end_time, n.status
              FROM @schema@.job_log AS n
             WHERE n.end_time BETWEEN '1000-01-01' AND '9999-12-31'
               AND (n.status IS DISTINCT FROM (SELECT w.alert_text FROM word AS w WHERE w.alert_code = 2)
                    OR (SELECT d.action FROM @schema@.job_detail AS d WHERE d.job_id = n.job_id ORDER BY d.step_id LIMIT 1)
                       IS DISTINCT FROM '@refusal@')
             ORDER BY n.end_time DESC
             LIMIT 4000) AS r
     WHERE @newest@
       AND (SELECT count(*) FROM @schema@.job_check_config AS c) > 500
     ORDER BY r.job_name, r.end_time DESC
-- ] [window, scan
    SELECT w.job_name, w.job_id, r.start_time, r.end_time, r.status
      FROM recent AS w
      JOIN @schema@.job_log AS r ON r.job_id = w.job_id
-- ]
),
open_run AS MATERIALIZED (
    -- A pid alone proves nothing, pids are reused: the backend must have been there when the run started. Who may not
    -- see other sessions' backend_start gets NULL; then the pid has to do. A negative pid is one of another server.
    SELECT r.job_name, r.job_id, r.pid, r.start_time,
           pg_is_in_recovery() OR r.pid < 0 OR (a.pid IS NOT NULL AND coalesce(a.backend_start <= r.start_time, true)) AS alive
      FROM @schema@.job_log AS r
      LEFT JOIN pg_stat_get_activity(NULL) AS a
        ON a.pid = r.pid AND a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
     WHERE r.end_time IS NULL
       AND r.start_time BETWEEN '1000-01-01' AND '9999-12-31'
-- [window, scan
       AND r.job_id = ANY (ARRAY(
           SELECT unnest(w.open_job_ids) FROM recent AS w
            UNION
           -- what is open since before the window: its status is not set either, and that has an index
           SELECT o.job_id
             FROM @schema@.job_log AS o
            WHERE '@layout@' = 'window' AND o.status IS NULL AND o.end_time IS NULL))
-- ]
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
noted AS MATERIALIZED (
    -- all that is known of a job but for its last completed run: usually of few
    SELECT job_name,
           failing.criticals, failing.failures, failing.job_id AS failed_job_id,
           alive.job_id AS alive_job_id, alive.pid AS alive_pid, alive.start_time AS alive_start,
           dead.job_id AS dead_job_id, dead.start_time AS dead_start
      FROM failing
      FULL JOIN alive USING (job_name)
      FULL JOIN dead USING (job_name)
      FULL JOIN (SELECT DISTINCT a.job_name FROM (@also@) AS a(job_name)) AS also USING (job_name)
),
monitored AS (
    SELECT coalesce(c.job_name, n.job_name) AS job_name,
           c.job_name IS NOT NULL AS configured,
           CASE WHEN c.job_name IS NULL THEN true ELSE coalesce(c.active, false) END AS active,
           CASE WHEN c.job_name IS NULL THEN @failures@ - 1 ELSE greatest(c.sensitivity, 0) END AS sensitivity,
           c.warn_threshold, c.error_threshold,
           n.criticals, coalesce(n.failures, 0) AS failures, n.failed_job_id,
           n.alive_job_id, n.alive_pid, n.alive_start, n.dead_job_id, n.dead_start
      FROM @schema@.job_check_config AS c
      FULL JOIN noted AS n ON n.job_name = c.job_name
),
timed AS NOT MATERIALIZED (
    -- OFFSET 0, here and below, keeps the planner from merging two levels and so from computing things again for each use.
    SELECT m.*,
           done.job_id AS done_job_id, done.start_time AS done_start, done.end_time AS done_end, done.status,
           seen.at AS seen_at,
           -- Beyond a thousand years either way a sum could leave the range of a timestamp.
           CASE WHEN m.warn_threshold >= '1000 years' THEN 'infinity'
                WHEN m.warn_threshold <= '-1000 years' THEN '-infinity'
                ELSE seen.at + m.warn_threshold
           END AS warn_at,
           CASE WHEN m.error_threshold >= '1000 years' THEN 'infinity'
                WHEN m.error_threshold <= '-1000 years' THEN '-infinity'
                ELSE seen.at + m.error_threshold
           END AS error_at
      FROM monitored AS m
      LEFT JOIN latest ON latest.job_name = m.job_name
      LEFT JOIN LATERAL (
            SELECT r.job_id, r.start_time, r.end_time, r.status
              FROM @schema@.job_log AS r
             WHERE r.job_name = m.job_name
               AND r.end_time BETWEEN '1000-01-01' AND '9999-12-31'
-- [probe
               AND latest.job_id IS NULL
               AND (r.status IS DISTINCT FROM (SELECT w.alert_text FROM word AS w WHERE w.alert_code = 2)
                    OR (SELECT d.action FROM @schema@.job_detail AS d WHERE d.job_id = r.job_id ORDER BY d.step_id LIMIT 1)
                       IS DISTINCT FROM '@refusal@')
-- ] [window, scan
               -- In a window a longer run may hide that began before it; so who would alert by the window is probed too.
               AND '@layout@' = 'window'
               AND (latest.job_id IS NULL
                    OR m.dead_job_id IS NOT NULL
                    OR latest.end_time + greatest(least(m.warn_threshold, m.error_threshold, '1000 years'), '-1000 years')
                       < now())
-- ]
             ORDER BY r.end_time DESC
             LIMIT 1
           ) AS probed ON true
     CROSS JOIN LATERAL (
            SELECT coalesce(probed.job_id, latest.job_id) AS job_id,
                   coalesce(probed.start_time, latest.start_time) AS start_time,
                   coalesce(probed.end_time, latest.end_time) AS end_time,
                   coalesce(probed.status, latest.status) AS status
           ) AS done
     CROSS JOIN LATERAL (SELECT greatest(done.end_time, m.alive_start) AS at) AS seen
     WHERE @selected@
    OFFSET 0
),
coded AS NOT MATERIALIZED (
    SELECT t.*,
           CASE WHEN NOT t.active THEN 1
                WHEN t.criticals > t.sensitivity THEN 3
                WHEN t.failures > t.sensitivity THEN 2
                ELSE 1
           END AS failed_code,
           CASE WHEN NOT (t.configured AND t.active) THEN 1
                WHEN t.seen_at IS NULL OR t.error_at < now() THEN 3
                WHEN t.warn_at < now() THEN 2
                ELSE 1
           END AS missing_code,
           coalesce(t.dead_start > coalesce(t.done_start, '-infinity'), false) AS crashed
      FROM timed AS t
    OFFSET 0
)
SELECT -- a name that is cut stays different from others
       CASE WHEN length(j.job_name) <= 10000 THEN j.job_name
            ELSE left(j.job_name, 500) || '...' || to_hex(hashtextextended(j.job_name, 0))
       END AS job_name,
       j.configured,
       j.active,
       greatest(j.failed_code, j.missing_code) AS alert_code,
       j.failed_code,
       j.missing_code,
       CASE WHEN j.missing_code = 1 THEN NULL
            WHEN j.alive_job_id IS NULL OR j.unverified THEN 'MISSING'
            WHEN j.blocker IS NOT NULL THEN 'BLOCKED'
            ELSE 'RUNNING'
       END AS missing_status,
       j.failures,
       j.sensitivity,
       date_part('epoch', now() - j.seen_at) AS age,
       -- a month is as long as it is from that run on
       date_part('epoch', CASE WHEN isfinite(j.warn_at) THEN j.warn_at - j.seen_at
                               WHEN j.warn_threshold <= '-1000 years' THEN '-1000 years'
                               ELSE j.warn_threshold END) AS warn_after,
       date_part('epoch', CASE WHEN isfinite(j.error_at) THEN j.error_at - j.seen_at
                               WHEN j.error_threshold <= '-1000 years' THEN '-1000 years'
                               ELSE j.error_threshold END) AS error_after,
       CASE WHEN isfinite(j.done_start) THEN date_part('epoch', j.done_end - j.done_start) END AS duration,
       j.done_job_id,
       j.done_end::text AS done_end,
       left(j.status, 200) AS status,
       j.alive_job_id,
       j.alive_pid,
       to_char(j.alive_start, 'YYYY-MM-DD HH24:MI:SS OF') AS alive_start,
       j.unverified,
       CASE WHEN j.crashed THEN j.dead_job_id END AS crashed_job_id,
       CASE WHEN j.crashed THEN to_char(j.dead_start, 'YYYY-MM-DD HH24:MI:SS OF') END AS crashed_start,
       j.blocker[1]::integer AS blocker_pid,
       j.blocker[2] AS blocker_user,
       j.blocker[3] AS blocker_application,
       j.blocker[4] AS blocker_since,
       j.step[1] AS failed_action,
       j.step[2] AS failed_message,
       -- by the server's rules, as add_job() capitalizes: in a database with the locale C, only the letters of ASCII change
       NOT j.configured OR j.job_name = upper(j.job_name) AS capitalized
  FROM (
        -- The two looks elsewhere, each only for the jobs that need it: in a join they would cost something for every job.
        SELECT c.*,
               pg_is_in_recovery() OR coalesce(c.alive_pid < 0, false) AS unverified,
               CASE WHEN c.missing_code > 1 AND c.alive_pid > 0 AND NOT pg_is_in_recovery() THEN (
                    -- pid 0 stands for a prepared transaction, which has no backend
                    SELECT ARRAY[b.pid::text, pg_get_userbyid(a.usesysid), a.application_name,
                                 to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS OF')]
                      FROM unnest(pg_blocking_pids(c.alive_pid)) AS b(pid)
                      LEFT JOIN pg_stat_get_activity(NULL) AS a ON a.pid = b.pid
                     ORDER BY a.xact_start, b.pid
                     LIMIT 1)
               END AS blocker,
               CASE WHEN c.failed_code > 1 THEN (
                    -- the step that says why: of the last thousand the last one marked as failed, or else the last one
                    SELECT ARRAY[left(d.action, 200), left(d.message, 800)]
                      FROM (SELECT l.step_id
                              FROM (SELECT s.step_id, s.status
                                      FROM @schema@.job_detail AS s
                                     WHERE s.job_id = c.failed_job_id
                                     ORDER BY s.step_id DESC
                                     LIMIT 1000) AS l
                             ORDER BY coalesce(l.status IN (SELECT w.alert_text FROM word AS w WHERE w.alert_code IN (2, 3)), false)
                                      DESC,
                                      l.step_id DESC
                             LIMIT 1) AS why
                      JOIN @schema@.job_detail AS d ON d.job_id = c.failed_job_id AND d.step_id = why.step_id
                     LIMIT 1)
               END AS step
          FROM coded AS c
        OFFSET 0
       ) AS j
