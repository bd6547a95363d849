-- The newest runs of a job, whose name may be in upper or lower case. @job_runs@: job_runs.sql for n.job_name and asked.number.
SELECT r.job_id
  FROM (SELECT %s AS name, %s AS number) AS asked
 CROSS JOIN LATERAL (SELECT upper(asked.name) AS job_name) AS n
 CROSS JOIN LATERAL (@job_runs@) AS r
