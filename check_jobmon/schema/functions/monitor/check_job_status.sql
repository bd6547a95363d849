-- The check as a function: the worst alert code of all jobs, and the jobs with problems, in parentheses.
CREATE OR REPLACE FUNCTION @schema@.check_job_status(OUT alert_code integer, OUT alert_text text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
SET intervalstyle = postgres
SET jit = off
AS $$
WITH reason AS (
    SELECT j.job_name, j.alert_code, concat_ws(', ',
           CASE WHEN j.failed_code > 1 THEN
               'FAILED_RUN - failed ' || CASE WHEN j.failures = 1 THEN '1 time'
                                              -- the query stops counting there
                                              WHEN j.failures > j.sensitivity + @uncounted@
                                              THEN format('more than %s times', j.sensitivity + @uncounted@)
                                              ELSE format('%s times', j.failures)
                                         END
               || coalesce(' (' || nullif(concat_ws('; ', nullif(concat_ws(': ', j.failed_action, j.failed_message), ''),
                                                           nullif(j.failed_client, '')), '') || ')', '')
           END,
           CASE WHEN j.missing_status = 'UNKNOWN' THEN
               format('UNKNOWN - when it is due: the server can''t read the schedule "%s" or the time zone "%s"', j.schedule, j.timezone)
                WHEN j.missing_code > 1 AND j.cause IS NULL THEN
               j.missing_status || ' - '
               || CASE WHEN j.alive_job_id IS NOT NULL
                       THEN concat_ws(' ', 'running', nullif(j.alive_client, ''), 'since ') || j.alive_start || CASE WHEN j.unverified THEN ' (not verifiable on this server)' ELSE '' END
                       WHEN j.late IS NOT NULL THEN
                           format('was due %s, %s ago', j.due, make_interval(secs => floor(j.late)))
                       WHEN j.done_job_id IS NULL THEN
                           'no run has ever completed'
                           || coalesce(', expected for ' || make_interval(secs => floor(j.expected_for)), '')
                       ELSE 'not run for ' || make_interval(secs => floor(j.age))
                  END
               || CASE WHEN coalesce(j.age, j.expected_for) IS NULL THEN ''
                       ELSE CASE j.missing_code WHEN 3 THEN ', error after ' || make_interval(secs => j.error_after)
                                                ELSE ', warning after ' || make_interval(secs => j.warn_after)
                            END
                  END
               || CASE WHEN j.missing_status = 'BLOCKED' THEN format(', blocked by pid %s (%s, %s) since %s',
                            j.blocker_pid, j.blocker_user, j.blocker_application, j.blocker_since) ELSE '' END
           END,
           CASE WHEN j.duration_code > 1 THEN
               format('%s - %s %s, %s %s', j.duration_status, CASE WHEN j.slow_is_running THEN 'running for' ELSE 'took' END,
                      make_interval(secs => floor(j.judged_duration)),
                      CASE WHEN j.usual_duration IS NOT NULL THEN 'usually'
                           WHEN j.duration_status = 'FAST' THEN 'at least'
                           ELSE CASE j.duration_code WHEN 3 THEN 'error after' ELSE 'warning after' END
                      END,
                      make_interval(secs => coalesce(j.usual_duration, j.duration_limit)))
           END,
           CASE WHEN j.crashed_job_id IS NOT NULL THEN
               'CRASHED - job ' || concat_ws(' ', j.crashed_job_id, nullif(j.crashed_client, '')) || ' started ' || j.crashed_start || ', its backend is gone'
           END,
           CASE WHEN j.configured AND j.upper_name IS NOT NULL THEN
               'the configured name is not upper case, so no run can match it'
           END) AS text
      FROM (
@job_status@
           ) AS j
     -- a crashed run alone is reported, but doesn't alert here; in the plugin, the option --crashed sets the state for it
     WHERE j.alert_code > 1
        OR j.crashed_job_id IS NOT NULL AND j.active AND j.silence_id IS NULL
)
SELECT coalesce(max(r.alert_code), 1),
       '(' || coalesce(string_agg(r.job_name || ': ' || r.text, '; ' ORDER BY r.alert_code DESC, r.job_name),
                       'All jobs run successfully') || ')'
  FROM reason AS r
$$;
COMMENT ON FUNCTION @schema@.check_job_status() IS
    'Judges all jobs. Returns the worst alert code (1 OK, 2 warning, 3 critical) and, in parentheses, the jobs with problems and '
    'the reasons. Join it to job_status_text to get the word for the code.';
