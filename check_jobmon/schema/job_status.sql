-- The check: one row for each monitored job, in no order. The only place where a job is judged.
--
-- Monitored is every job in job_check_config, and any other that has failed since its last success or has an open run.
-- How runs are found is written in find_by_index.sql, find_by_window.sql and find_by_scan.sql. One of them takes the place of
-- @find@ and defines three relations, of which the last builds on `monitored`:
--   failing         (job_name, criticals, failures, job_id): how many failures job_check_log has of a job, and the last one
--   open_run        (job_name, job_id, owner, pid, start_time, next_due): the runs that have not ended
--   with_last_run   the columns of `monitored`, and of each job's last completed run done_job_id, done_start, done_end, status,
--                   done_next_due
-- @silences@ are the silences that are in force: silences.sql, or no_silences.sql.
--
-- check_job_status() is created from this text and the plugin sends it as it is, so it reads the tables and uses nothing else
-- of the schema. All names are qualified; operators and casts need a search_path of pg_catalog alone. Texts are cut, because
-- anybody who may log can write texts of any length. A run with an impossible time (infinity, the year 200000), which only an
-- UPDATE by hand can have written, doesn't count: it would hide forever that its job is missing.
WITH RECURSIVE status_text AS (
    SELECT s.@code@ AS alert_code, s.@text@ AS alert_text FROM @schema@.job_status_text AS s
),
config AS NOT MATERIALIZED (
    @schema/config.sql@
),
@find@,
run_with_backend AS (
    -- A role that isn't in pg_monitor doesn't see when other roles' backends began, a standby doesn't see the primary's backends, and
    -- nobody those of another server, whose pids are negative: such runs count as alive.
    SELECT l.job_name, l.job_id, l.pid, l.start_time, l.next_due, b.is_own IS NULL AS unverified, b.is_own IS NOT FALSE AS alive
      FROM open_run AS l
      LEFT JOIN pg_stat_get_activity(NULL) AS a
        ON a.pid = l.pid AND a.datid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
     CROSS JOIN LATERAL (
            SELECT CASE WHEN pg_is_in_recovery() OR l.pid < 0 THEN NULL
                        WHEN a.pid IS NULL THEN false
                        ELSE @schema/own_backend.sql@
                   END AS is_own
            OFFSET 0 -- here and below: keeps the planner from merging two steps, and so from computing values again for each use
           ) AS b
     WHERE l.start_time BETWEEN '1000-01-01' AND '9999-12-31'
),
alive_run AS (
    SELECT DISTINCT ON (r.job_name) * FROM run_with_backend AS r WHERE r.alive
     ORDER BY r.job_name, r.start_time DESC, r.job_id DESC
),
lost_run AS (
    SELECT DISTINCT ON (r.job_name) * FROM run_with_backend AS r WHERE NOT r.alive
     ORDER BY r.job_name, r.start_time DESC, r.job_id DESC
),
observed AS MATERIALIZED (
    -- what there is of a job beside its last completed run: for most jobs, nothing
    SELECT job_name,
           failing.criticals, failing.failures, failing.job_id AS failed_job_id,
           alive_run.job_id AS alive_job_id, alive_run.pid AS alive_pid, alive_run.start_time AS alive_start,
           alive_run.next_due AS alive_next_due, alive_run.unverified,
           lost_run.job_id AS lost_job_id, lost_run.start_time AS lost_start
      FROM failing
      FULL JOIN alive_run USING (job_name)
      FULL JOIN lost_run USING (job_name)
      FULL JOIN (SELECT DISTINCT n.job_name FROM (@extra_names@) AS n(job_name)) AS extra_name USING (job_name)
),
monitored AS NOT MATERIALIZED (
    SELECT coalesce(c.job_name, o.job_name) AS job_name,
           c.job_name IS NOT NULL AS configured,
           CASE WHEN c.job_name IS NULL THEN true ELSE coalesce(c.active, false) END AS active,
           CASE WHEN c.job_name IS NULL THEN @failures@ - 1 ELSE greatest(c.sensitivity, 0) END AS sensitivity,
           c.warn_threshold, c.error_threshold,
           -- no limit beyond 1,000 years, where a sum could leave the range of a timestamp
           CASE WHEN c.warn_threshold < '1000 years' THEN greatest(c.warn_threshold, '-1000 years') END AS warn_limit,
           CASE WHEN c.error_threshold < '1000 years' THEN greatest(c.error_threshold, '-1000 years') END AS error_limit,
           CASE WHEN c.since >= '1000-01-01' THEN least(c.since, '9999-12-31') END AS since,
           c.schedule, c.timezone, c.first_due, c.warn_duration, c.error_duration, c.min_duration, c.slow_factor,
           c.depends_on, c.escalate, c.owner, c.description, c.runbook,
           o.criticals, coalesce(o.failures, 0) AS failures, o.failed_job_id,
           o.alive_job_id, o.alive_pid, o.alive_start, o.alive_next_due, coalesce(o.unverified, false) AS unverified,
           o.lost_job_id, o.lost_start
      FROM config AS c
      FULL JOIN observed AS o ON o.job_name = c.job_name
),
with_times AS (
    -- from when on the job's thresholds count, and how long its runs take
    SELECT m.*, greatest(m.done_end, m.alive_start) AS last_activity,
           CASE WHEN m.schedule IS NULL THEN greatest(coalesce(m.done_end, m.since), m.alive_start)
                WHEN m.alive_job_id IS NULL AND m.done_job_id IS NULL
                THEN CASE WHEN m.first_due > '-infinity' THEN least(m.first_due, '9999-12-31') END
                WHEN (m.alive_job_id IS NULL OR m.alive_next_due IS NOT NULL)
                 AND (m.done_job_id IS NULL OR m.done_next_due IS NOT NULL)
                THEN greatest(m.done_next_due, m.alive_next_due,
                              -- a run that began later has ended earlier
                              CASE WHEN m.done_next_due + least(m.warn_limit, m.error_limit) < now()
                                   THEN (@schema/later_start.sql@) END)
           END AS counted_from,
           t.alive_took, t.done_took,
           -- the median is needed only of what takes more than a minute
           CASE WHEN m.slow_factor IS NOT NULL AND greatest(t.alive_took, t.done_took) > '1 minute'
                THEN (@schema/usual_duration.sql@) END AS usual
      FROM with_last_run AS m
     CROSS JOIN LATERAL (
            SELECT now() - m.alive_start AS alive_took,
                   CASE WHEN m.done_start BETWEEN '1000-01-01' AND '9999-12-31' THEN m.done_end - m.done_start END AS done_took
           ) AS t
     WHERE (@name_filter@)
    OFFSET 0
),
with_codes AS MATERIALIZED (
    -- Only the columns that are used below: this relation is stored, because jobs depend on others of it.
    SELECT l.job_name, l.configured, l.active, l.sensitivity, l.warn_threshold, l.error_threshold, l.warn_limit, l.error_limit,
           l.since, l.schedule, l.timezone, l.warn_duration, l.error_duration, l.min_duration, l.depends_on, l.owner, l.description,
           l.runbook, l.failures, l.failed_job_id, l.alive_job_id, l.alive_pid, l.alive_start, l.unverified, l.lost_start,
           l.done_job_id, l.done_start, l.done_end, l.status, l.last_activity, l.counted_from, l.alive_took, l.done_took, l.usual,
           CASE WHEN NOT l.active THEN 1
                WHEN l.criticals > l.sensitivity THEN 3
                WHEN l.failures > l.sensitivity THEN CASE WHEN l.failures >= l.escalate THEN 3 ELSE 2 END
                ELSE 1
           END AS failed_code,
           CASE WHEN NOT (l.configured AND l.active) THEN 1
                WHEN s.undue THEN 2
                WHEN l.counted_from IS NULL OR l.counted_from + l.error_limit < now() THEN 3
                WHEN l.counted_from + l.warn_limit < now() THEN 2
                ELSE 1
           END AS missing_code,
           CASE WHEN NOT l.active THEN 1
                WHEN s.slow_took > l.error_duration THEN 3
                WHEN s.slow_took > least(l.warn_duration, s.slow_limit) THEN 2
                ELSE 1
           END AS slow_code,
           CASE WHEN l.active
                 AND l.done_took < l.min_duration
                 AND l.status = (SELECT t.alert_text FROM status_text AS t WHERE t.alert_code = 1) THEN 2
                ELSE 1
           END AS fast_code,
           s.undue, s.slow_took, s.slow_limit,
           -- by the server's rules, as add_job() does: in a database with the locale C, upper() changes only ASCII letters
           upper(l.job_name) AS upper_name,
           CASE WHEN l.lost_start > coalesce(l.done_start, '-infinity') THEN l.lost_job_id END AS crashed_job_id
      FROM with_times AS l
     CROSS JOIN LATERAL (
            SELECT -- when a run is due is unknown if the server has lost the time zone since it was configured
                   l.schedule IS NOT NULL AND l.counted_from IS NULL
                       AND (l.alive_job_id IS NOT NULL OR l.done_job_id IS NOT NULL OR l.first_due IS NULL) AS undue,
                   greatest(l.alive_took, l.done_took) AS slow_took,
                   CASE WHEN l.usual IS NOT NULL THEN greatest(l.usual * l.slow_factor, '1 minute') END AS slow_limit
           ) AS s
),
chain AS (
    -- The jobs that a job depends on, and those that these depend on. `missing`: all before this one in the chain are missing.
    SELECT j.job_name, j.depends_on AS cause, j.missing_code > 1 AS missing, 1 AS depth
      FROM with_codes AS j
     WHERE j.depends_on IS NOT NULL
     UNION ALL
    SELECT c.job_name, j.depends_on, c.missing AND j.missing_code > 1, c.depth + 1
      FROM chain AS c
      JOIN with_codes AS j ON j.job_name = c.cause
     WHERE j.depends_on IS NOT NULL
       AND c.cause <> c.job_name
       AND c.depth < 100
),
dependent AS (
    -- A missing job waits for the first cause in its chain. In a circle, no job waits.
    SELECT c.job_name, bool_or(c.cause = c.job_name OR c.depth = 100) AS in_circle, bool_or(c.depth = 1 AND j.job_name IS NULL) AS on_unknown,
           array_agg(ARRAY[left(c.cause, 500), w.status, to_char(w.since, 'YYYY-MM-DD HH24:MI TZ')] ORDER BY c.depth DESC)
               FILTER (WHERE c.missing AND w.status IS NOT NULL) AS causes
      FROM chain AS c
      LEFT JOIN with_codes AS j ON j.job_name = c.cause AND j.configured
     CROSS JOIN LATERAL (
            SELECT CASE WHEN NOT j.active THEN NULL
                        WHEN j.missing_code > 1 THEN 'missing'
                        WHEN j.failed_code > 1 THEN 'failed'
                        WHEN j.alive_job_id IS NOT NULL THEN 'running'
                   END AS status,
                   CASE WHEN j.missing_code > 1 THEN j.counted_from
                        WHEN j.failed_code > 1 THEN j.done_end
                        ELSE j.alive_start
                   END AS since
           ) AS w
     GROUP BY c.job_name
),
active_name AS MATERIALIZED (
    -- narrow, because each silence goes through all of it
    SELECT m.job_name, upper(m.job_name) AS upper_name, m.lost_start FROM monitored AS m WHERE m.active
),
silenced AS (
    -- The one that ends last. One silence after the other: PostgreSQL doesn't keep many regular expressions compiled.
    SELECT DISTINCT ON (m.job_name) m.job_name, s.silence_id, s.ends, s.until_next_run, s.created_by, s.reason
      FROM (@silences@) AS s
     CROSS JOIN LATERAL (
            SELECT n.job_name
              FROM active_name AS n
             WHERE @schema/silence_matches.sql@
               AND NOT (s.until_next_run
                        AND (coalesce(n.lost_start >= s.starts, false)
                             OR EXISTS (SELECT FROM @schema@.job_log AS r
                                         WHERE r.job_name = n.job_name AND r.end_time >= s.starts AND r.start_time >= s.starts)))
            OFFSET 0
           ) AS m
     ORDER BY m.job_name, s.ends DESC, s.silence_id
),
with_alerts AS (
    -- what the codes count for
    SELECT j.*, d.in_circle, d.on_unknown, s.silence_id, s.ends, s.until_next_run, s.created_by, s.reason,
           CASE WHEN d.in_circle IS NOT TRUE AND j.missing_code > 1 THEN d.causes END AS causes,
           CASE WHEN s.silence_id IS NOT NULL THEN 1
                ELSE greatest(j.failed_code, j.slow_code, j.fast_code,
                              CASE WHEN d.causes IS NULL OR d.in_circle THEN j.missing_code END)
           END AS alert_code
      FROM with_codes AS j
      LEFT JOIN dependent AS d ON d.job_name = j.job_name
      LEFT JOIN silenced AS s ON s.job_name = j.job_name
)
SELECT -- a name that is cut stays different from others
       CASE WHEN length(j.job_name) <= 10000 THEN j.job_name
            ELSE left(j.job_name, 500) || '...' || to_hex(hashtextextended(j.job_name, 0))
       END AS job_name,
       j.configured, j.active,
       j.alert_code, j.failed_code, j.missing_code, greatest(j.slow_code, j.fast_code) AS duration_code,
       CASE WHEN j.missing_code = 1 THEN NULL
            WHEN j.undue THEN 'UNKNOWN'
            WHEN j.alive_job_id IS NULL OR j.unverified THEN 'MISSING'
            WHEN e.blocker IS NOT NULL THEN 'BLOCKED'
            ELSE 'RUNNING'
       END AS missing_status,
       j.failures, j.sensitivity,
       date_part('epoch', now() - j.last_activity) AS age,
       -- in seconds; a month is as long as it is after the time that it counts from
       date_part('epoch', coalesce(j.counted_from + j.warn_limit - j.counted_from, j.warn_threshold)) AS warn_after,
       date_part('epoch', coalesce(j.counted_from + j.error_limit - j.counted_from, j.error_threshold)) AS error_after,
       CASE WHEN isfinite(j.done_start) THEN date_part('epoch', j.done_end - j.done_start) END AS duration,
       j.done_job_id, j.done_end::text AS done_end, left(j.status, 200) AS status,
       j.alive_job_id, j.alive_pid, to_char(j.alive_start, 'YYYY-MM-DD HH24:MI:SS OF') AS alive_start, j.unverified,
       CASE WHEN isfinite(j.alive_start) THEN date_part('epoch', now() - j.alive_start) END AS alive_for,
       j.crashed_job_id,
       CASE WHEN j.crashed_job_id IS NOT NULL THEN to_char(j.lost_start, 'YYYY-MM-DD HH24:MI:SS TZ') END AS crashed_start,
       e.blocker[1]::integer AS blocker_pid, e.blocker[2] AS blocker_user, e.blocker[3] AS blocker_application,
       e.blocker[4] AS blocker_since, e.blocker[5]::float8 AS blocked_for,
       e.step[1] AS failed_action, e.step[2] AS failed_message,
       CASE WHEN j.job_name <> j.upper_name THEN upper(left(j.job_name, 10000)) END AS upper_name,
       CASE WHEN j.done_job_id IS NULL THEN date_part('epoch', now() - j.since) END AS expected_for,
       left(j.owner, 500) AS owner, left(j.description, 3000) AS description, left(j.runbook, 1000) AS runbook,
       e.client[1] AS failed_client, e.client[2] AS alive_client, e.client[3] AS crashed_client,
       left(j.schedule, 200) AS schedule, left(j.timezone, 200) AS timezone,
       CASE WHEN j.schedule IS NOT NULL THEN to_char(j.counted_from, 'YYYY-MM-DD HH24:MI TZ') END AS due,
       CASE WHEN j.schedule IS NOT NULL THEN date_part('epoch', now() - j.counted_from) END AS late,
       CASE WHEN j.slow_code > 1 THEN 'SLOW' WHEN j.fast_code > 1 THEN 'FAST' END AS duration_status,
       j.slow_code > 1 AND j.slow_took = j.alive_took AS slow_is_running,
       date_part('epoch', CASE WHEN j.slow_code > 1 THEN j.slow_took ELSE j.done_took END) AS judged_duration,
       date_part('epoch', CASE WHEN j.slow_code = 3 THEN j.error_duration
                               WHEN j.slow_code = 2 THEN least(j.warn_duration, j.slow_limit)
                               ELSE j.min_duration
                          END) AS duration_limit,
       CASE WHEN j.slow_code = 2 AND (j.slow_limit < j.warn_duration) IS NOT FALSE
            THEN date_part('epoch', j.usual) END AS usual_duration,
       j.causes[1][1] AS cause, j.causes[1][2] AS cause_status, j.causes[1][3] AS cause_since,
       left(j.depends_on, 500) AS depends_on,
       CASE WHEN j.in_circle THEN 'circle' WHEN j.on_unknown THEN 'unknown' END AS depends_wrongly,
       j.silence_id,
       CASE WHEN j.until_next_run THEN 'its next run, at the latest ' ELSE '' END || to_char(j.ends, 'YYYY-MM-DD HH24:MI TZ')
           AS silenced_until,
       left(j.created_by, 200) AS silenced_by, left(j.reason, 2000) AS silence_reason
  FROM with_alerts AS j
 CROSS JOIN LATERAL (
        -- Subqueries in CASE instead of joins, so that they run only for the jobs that need them.
        SELECT CASE WHEN (j.missing_code > 1 OR @every_blocker@) AND j.alive_pid > 0 AND NOT j.unverified
                    THEN (SELECT ARRAY[b.pid::text, b.role_name, b.application_name,
                                       to_char(b.xact_start, 'YYYY-MM-DD HH24:MI:SS OF'), b.blocked_for::text]
                            FROM (@schema/blocker.sql@) AS b)
               END AS blocker,
               CASE WHEN j.failed_code > 1
                    THEN (SELECT ARRAY[left(s.action, 200), left(s.message, 800)] FROM (@schema/failing_step.sql@) AS s)
               END AS step,
               CASE WHEN greatest(j.failed_code, j.missing_code, j.slow_code) > 1 OR j.crashed_job_id IS NOT NULL
                    THEN ARRAY(SELECT concat_ws(', ', 'on ' || c.host, 'pid ' || c.pid)
                                 FROM unnest(ARRAY[j.failed_job_id, j.alive_job_id, j.crashed_job_id])
                                      WITH ORDINALITY AS n(job_id, number)
                                 LEFT JOIN LATERAL (@schema/client.sql@) AS c ON true
                                ORDER BY n.number)
               END AS client
        OFFSET 0
       ) AS e
