-- For each job, day of the week and hour: how many runs began then, and how many of them failed.
WITH @ctl/report/runs_in_window.sql@
SELECT r.number,
       extract(isodow FROM r.start_time)::integer - 1,
       extract(hour FROM r.start_time)::integer,
       count(*),
       count(*) FILTER (WHERE r.alert_code IN (2, 3))
  FROM run AS r
 WHERE r.start_time >= @since@
 GROUP BY 1, 2, 3
 ORDER BY 1, 2, 3
