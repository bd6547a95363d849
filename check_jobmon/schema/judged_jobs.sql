-- The rows that job_status.sql gives to its readers: its codes, and all that a message says about them. For a job that alerts, it also
-- looks up what its open run waits for, the step that failed, and where its runs came from.
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
