-- Figures about the runs of each job: how many, how many of them failed, the median duration of successful runs, the limit by slow_factor,
-- and the configured limits warn_duration, error_duration and min_duration. Durations are in seconds.
WITH @ctl/report/runs_in_window.sql@,
config AS (
    @schema/config.sql@
),
figure AS (
    SELECT r.number, count(*) AS runs, count(*) FILTER (WHERE r.alert_code IN (2, 3)) AS failures,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY r.took) FILTER (WHERE r.alert_code = 1) AS median
      FROM run AS r
     GROUP BY r.number
)
SELECT m.number,
       coalesce(f.runs, 0), coalesce(f.failures, 0), f.median,
       date_part('epoch', CASE WHEN c.slow_factor IS NOT NULL THEN greatest((@schema/usual_duration.sql@) * c.slow_factor, '1 minute') END),
       date_part('epoch', c.warn_duration),
       date_part('epoch', c.error_duration),
       date_part('epoch', c.min_duration)
  FROM asked AS m
  LEFT JOIN figure AS f ON f.number = m.number
  LEFT JOIN config AS c ON c.job_name = m.job_name
 ORDER BY m.number
