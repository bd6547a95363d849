-- The latest runs of a job, for config suggest: when each started, in seconds since 1970, and the time zone's offset from UTC then; how
-- many seconds it took; whether it succeeded; and how many seconds after its start it was logged. Parameters: the job's name, how many
-- runs, the time zone, and the greatest age in seconds. Refused runs are left out.
WITH asked AS (
    SELECT %s::text AS job_name, %s::bigint AS number, %s::text AS zone, %s::float8 AS seconds
),
status_text AS (
    SELECT s.@code@ AS alert_code, s.@text@ AS alert_text FROM @schema@.job_status_text AS s
)
SELECT extract(epoch FROM r.start_time)::float8,
       extract(epoch FROM (r.start_time AT TIME ZONE asked.zone) - (r.start_time AT TIME ZONE 'UTC'))::integer,
       took.seconds,
       coalesce(r.status = (SELECT t.alert_text FROM status_text AS t WHERE t.alert_code = 1), false),
       -- add_past_run() logs runs after their end, with the pid 0
       CASE WHEN r.pid = 0 THEN coalesce(took.seconds, 0) ELSE 0 END
  FROM asked
 CROSS JOIN LATERAL (@schema/job_runs.sql@) AS n
 CROSS JOIN LATERAL (
        SELECT l.job_id, l.start_time, l.end_time, l.status, l.pid
          FROM @schema@.job_log AS l
         WHERE l.job_id = n.job_id
         OFFSET 0
       ) AS r
 CROSS JOIN LATERAL (
        SELECT CASE WHEN r.end_time BETWEEN r.start_time AND '9999-12-31'
                    THEN extract(epoch FROM r.end_time - r.start_time)::float8
               END AS seconds
       ) AS took
 WHERE r.start_time BETWEEN now() - asked.seconds * interval '1 second' AND now()
   AND @schema/was_no_refusal.sql@
