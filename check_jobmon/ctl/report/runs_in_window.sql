-- The relations that the queries of the report share: `run` has the completed runs of the jobs %s (an array of names) that ended in
-- the window from @since@ to @until@, and their open runs. Runs with an impossible time are left out, as in job_status.sql.
status_text AS (
    SELECT s.@code@ AS alert_code, s.@text@ AS alert_text FROM @schema@.job_status_text AS s
),
asked AS (
    SELECT n.job_name, n.number FROM unnest(%s::text[]) WITH ORDINALITY AS n(job_name, number)
),
run AS MATERIALIZED (
    SELECT a.number, r.job_id, r.start_time, least(r.end_time, @until@) AS end_time, t.alert_code, @next_due@ AS next_due,
           greatest(r.start_time, @since@) AS shown_from,
           CASE WHEN r.start_time >= '1000-01-01' THEN extract(epoch FROM r.end_time - r.start_time)::float8 END AS took
      FROM asked AS a
      JOIN @schema@.job_log AS r ON r.job_name = a.job_name
      LEFT JOIN status_text AS t ON t.alert_text = r.status
     WHERE r.end_time BETWEEN @since@ AND '9999-12-31'
       AND r.start_time <= least(r.end_time, @until@)
     UNION ALL
    SELECT a.number, r.job_id, r.start_time, NULL, NULL, @next_due@, greatest(r.start_time, @since@), NULL
      FROM asked AS a
      JOIN @schema@.job_log AS r ON r.job_name = a.job_name
     WHERE r.end_time IS NULL
       AND r.start_time BETWEEN '1000-01-01' AND @until@
)
