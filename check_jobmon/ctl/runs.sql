-- Runs, newest first. @source@: a SELECT of their job_ids; @code@, @text@: the columns of job_status_text; @failing_step@:
-- failing_step.sql, whose @job_id@ is r.job_id; @client@: client.sql.
-- Reads tables alone, and cuts texts to what can be of use.
WITH status_text AS (
    SELECT s.@code@ AS alert_code, s.@text@ AS alert_text FROM @schema@.job_status_text AS s
),
backend AS MATERIALIZED (
    SELECT a.pid, a.backend_start, a.application_name FROM pg_stat_activity AS a WHERE a.datname = current_database()
)
SELECT r.job_id,
       left(r.job_name, 500),
       left(r.owner, 100),
       r.pid,
       -- what no clock shows, and only a hand can have written, as PostgreSQL has it: infinity, or a year BC or beyond 9999
       CASE WHEN r.start_time BETWEEN '0002-01-01' AND '9999-01-01'
            THEN to_char(r.start_time, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM')
            ELSE r.start_time::text
       END,
       CASE WHEN r.end_time BETWEEN '0002-01-01' AND '9999-01-01'
            THEN to_char(r.end_time, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM')
            ELSE r.end_time::text
       END,
       left(r.status, 200),
       w.alert_code,
       state.state,
       CASE WHEN state.state <> 'crashed' AND r.start_time BETWEEN '0002-01-01' AND '9999-01-01'
             AND coalesce(r.end_time, r.start_time) BETWEEN '0002-01-01' AND '9999-01-01'
            THEN extract(epoch FROM coalesce(r.end_time, clock_timestamp()) - r.start_time)::float8
       END,
       concat_ws(': ', left(step.action, 500), left(step.message, 2000)),
       client.host,
       client.pid
  FROM (@source@) AS n
 CROSS JOIN LATERAL (
        SELECT l.job_id, l.job_name, l.owner, l.pid, l.start_time, l.end_time, l.status
          FROM @schema@.job_log AS l
         WHERE l.job_id = n.job_id
         -- keeps this a probe for each run, whatever the planner thinks how many there are
         OFFSET 0
       ) AS r
  LEFT JOIN status_text AS w ON w.alert_text = r.status
  -- pids are reused; a role that isn't in pg_monitor may not see when another's backend started; claim_job() gives later ones a name
  LEFT JOIN backend AS b
    ON b.pid = r.pid
   AND (coalesce(b.backend_start <= r.start_time, true) OR starts_with(b.application_name, 'jobmon run ' || r.job_id || ':'))
 CROSS JOIN LATERAL (
        SELECT CASE WHEN r.end_time IS NOT NULL THEN 'ended'
                    WHEN pg_is_in_recovery() OR r.pid < 0 OR b.pid IS NOT NULL AND b.backend_start IS NULL THEN 'open'
                    WHEN b.pid IS NOT NULL THEN 'running'
                    ELSE 'crashed'
               END AS state
       ) AS state
  LEFT JOIN LATERAL (@client@) AS client ON true
  LEFT JOIN LATERAL (@failing_step@) AS step ON w.alert_code IN (2, 3) OR r.end_time IS NULL
 ORDER BY r.job_id DESC
