-- The newest runs of the jobs whose names match; the parameters are the pattern and, twice, how many. @job_runs@: job_runs.sql
-- for those two; @all_names@: a SELECT of all names. Matching in any case, not the upper() of the pattern, keeps \d what it is.
SELECT r.job_id
  FROM (SELECT %s AS pattern, %s AS number) AS asked
  JOIN @all_names@ AS n ON n.job_name ~* asked.pattern
 CROSS JOIN LATERAL (@job_runs@) AS r
 ORDER BY r.job_id DESC
 LIMIT %s
