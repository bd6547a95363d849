-- The bars of the timeline: completed runs of a job that began in the same slot of time are one bar. The window is divided into @few@
-- slots, or into @many@ if there are fewer than @most@ runs. @seconds@: the length of the window.
WITH @ctl/report/runs_in_window.sql@,
scale AS (
    SELECT CASE WHEN count(*) < @most@ THEN @many@ ELSE @few@ END AS slots FROM run AS r
)
SELECT s.number,
       extract(epoch FROM s.began - @since@)::float8,
       extract(epoch FROM s.ended - @since@)::float8,
       s.runs, s.failures, s.alert_code, s.longest, s.job_id,
       CASE WHEN s.started >= '1000-01-01' THEN to_char(s.started, 'YYYY-MM-DD HH24:MI:SS') ELSE s.started::text END,
       s.slots
  FROM (SELECT r.number, c.slots, min(r.shown_from) AS began, max(r.end_time) AS ended, count(*) AS runs,
               count(*) FILTER (WHERE r.alert_code IN (2, 3)) AS failures,
               -- 0 for a status that is not in job_status_text, which only a manual UPDATE can have written
               max(coalesce(r.alert_code, 0)) AS alert_code, max(r.took) AS longest, max(r.job_id) AS job_id,
               min(r.start_time) AS started
          FROM run AS r
         CROSS JOIN scale AS c
         WHERE r.end_time IS NOT NULL
         GROUP BY r.number, c.slots, floor(extract(epoch FROM r.shown_from - @since@) * c.slots / @seconds@)
       ) AS s
 ORDER BY s.number, s.began
