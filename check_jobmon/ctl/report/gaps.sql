-- When watched jobs were missing between two of their runs: from the time at which a run was due (by the schedule, or, without a schedule,
-- at the end of the last run plus the warning threshold) until the next run began. Gaps that began in the same of @few@ slots of the
-- window are merged. @probe@: whether the last run before the window is looked up, which needs an index.
WITH @ctl/report/runs_in_window.sql@,
config AS (
    @schema/config.sql@
),
earlier AS (
    SELECT a.number, b.start_time, b.end_time, b.next_due
      FROM asked AS a
     CROSS JOIN LATERAL (
            SELECT r.start_time, r.end_time, @next_due@ AS next_due
              FROM @schema@.job_log AS r
             WHERE r.job_name = a.job_name
               AND r.end_time >= '1000-01-01'
               AND r.end_time < @since@
             ORDER BY r.end_time DESC
             LIMIT 1
           ) AS b
     WHERE @probe@
),
pair AS (
    SELECT r.number, r.end_time, r.next_due, lead(r.start_time) OVER (PARTITION BY r.number ORDER BY r.start_time, r.end_time) AS next_start
      FROM (SELECT r.number, r.start_time, r.end_time, r.next_due FROM run AS r
             UNION ALL
            SELECT e.number, e.start_time, e.end_time, e.next_due FROM earlier AS e) AS r
)
SELECT p.number,
       extract(epoch FROM min(s.began) - @since@)::float8,
       extract(epoch FROM max(p.next_start) - @since@)::float8,
       to_char(min(g.due), 'YYYY-MM-DD HH24:MI'),
       to_char(max(p.next_start), 'YYYY-MM-DD HH24:MI')
  FROM pair AS p
  JOIN asked AS a ON a.number = p.number
  JOIN config AS c ON c.job_name = a.job_name AND c.active
 CROSS JOIN LATERAL (
        SELECT CASE WHEN c.schedule IS NULL THEN p.end_time + l.warn_limit ELSE p.next_due END AS due,
               CASE WHEN c.schedule IS NULL THEN p.end_time ELSE p.next_due END + l.warn_limit AS alert
          FROM (SELECT CASE WHEN c.warn_threshold < '1000 years' THEN greatest(c.warn_threshold, '0') END AS warn_limit) AS l
       ) AS g
 CROSS JOIN LATERAL (SELECT greatest(g.due, @since@) AS began) AS s
 WHERE p.next_start > greatest(g.alert, s.began)
   AND g.due BETWEEN '1000-01-01' AND '9999-12-31'
   AND g.alert IS NOT NULL
 GROUP BY p.number, floor(extract(epoch FROM s.began - @since@) * @few@ / @seconds@)
 ORDER BY 1, 2
