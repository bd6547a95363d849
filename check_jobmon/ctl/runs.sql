-- Runs, newest first. @source@: a SELECT of their job_ids; @code@, @text@: the columns of job_status_text.
-- Reads only tables, and cuts texts to a useful length.
WITH status_text AS (
    SELECT s.@code@ AS alert_code, s.@text@ AS alert_text FROM @schema@.job_status_text AS s
),
backend AS MATERIALIZED (
    SELECT a.pid, a.usesysid, a.backend_start, a.application_name FROM pg_stat_activity AS a WHERE a.datname = current_database()
)
SELECT l.job_id,
       left(l.job_name, 500),
       left(l.owner, 100),
       l.pid,
       -- a time that only a manual UPDATE can have written is shown as PostgreSQL prints it: infinity, or a year BC or after 9999
       CASE WHEN l.start_time BETWEEN '0002-01-01' AND '9999-01-01'
            THEN to_char(l.start_time, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM')
            ELSE l.start_time::text
       END,
       CASE WHEN l.end_time BETWEEN '0002-01-01' AND '9999-01-01'
            THEN to_char(l.end_time, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM')
            ELSE l.end_time::text
       END,
       left(l.status, 200),
       w.alert_code,
       state.state,
       CASE WHEN state.state <> 'crashed' AND l.start_time BETWEEN '0002-01-01' AND '9999-01-01'
             AND coalesce(l.end_time, l.start_time) BETWEEN '0002-01-01' AND '9999-01-01'
            THEN extract(epoch FROM coalesce(l.end_time, clock_timestamp()) - l.start_time)::float8
       END,
       concat_ws(': ', left(step.action, 500), left(step.message, 2000)),
       client.host,
       client.pid
  FROM (@source@) AS n
 CROSS JOIN LATERAL (
        SELECT l.job_id, l.job_name, l.owner, l.pid, l.start_time, l.end_time, l.status
          FROM @schema@.job_log AS l
         WHERE l.job_id = n.job_id
         -- OFFSET 0 makes this an index probe for each run, however many runs the planner expects
         OFFSET 0
       ) AS l
  LEFT JOIN status_text AS w ON w.alert_text = l.status
  LEFT JOIN backend AS a ON a.pid = l.pid
 CROSS JOIN LATERAL (
        SELECT CASE WHEN l.end_time IS NOT NULL THEN 'ended'
                    WHEN pg_is_in_recovery() OR l.pid < 0 THEN 'open'
                    WHEN a.pid IS NULL THEN 'crashed'
                    ELSE CASE @schema/own_backend.sql@ WHEN true THEN 'running' WHEN false THEN 'crashed' ELSE 'open' END
               END AS state
       ) AS state
  LEFT JOIN LATERAL (@schema/client.sql@) AS client ON true
  LEFT JOIN LATERAL (@schema/failing_step.sql@) AS step ON w.alert_code IN (2, 3) OR l.end_time IS NULL
 ORDER BY l.job_id DESC
