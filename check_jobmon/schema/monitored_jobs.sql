-- The jobs that job_status.sql judges: every job in job_check_config, and any other that has failed since its last success or has
-- an open run. One row each, with its configuration, its failures, and the latest of its open runs with and without a backend.
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
)
