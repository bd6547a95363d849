-- The check: one row for each monitored job, in no order. The only place where a job is judged: each relation below adds to the one
-- before it, from the job's runs to the times that count, to a code for each kind of problem, to the code that alerts.
--
-- Relations that are long are in files of their own:
--   find_by_index.sql (or find_by_window.sql, find_by_scan.sql: one of them takes the place of @find@)
--     failing         (job_name, criticals, failures, job_id): how many failures job_check_log has of a job, and the last one
--     open_run        (job_name, job_id, owner, pid, start_time, next_due): the runs that have not ended
--     with_last_run   the columns of `monitored`, and of each job's last completed run done_job_id, done_start, done_end, status,
--                     done_next_due
--   monitored_jobs.sql
--     monitored       the jobs: configuration, failures, the latest open run that is alive (alive_...) and that has crashed (lost_...)
--   job_dependencies.sql
--     dependent       (job_name, in_circle, on_unknown, causes): the jobs that depend on others, and which of those they wait for
--   silenced_jobs.sql
--     silenced        (job_name, silence_id, ends, until_next_run, created_by, reason): the jobs that are silenced
--   judged_jobs.sql   the final SELECT: the columns that readers of the check get
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
@schema/monitored_jobs.sql@,
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
@schema/job_dependencies.sql@,
@schema/silenced_jobs.sql@,
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
@schema/judged_jobs.sql@
