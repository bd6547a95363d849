-- The newest runs of a job, its name in any case.
SELECT r.job_id
  FROM (SELECT %s AS name, %s AS number) AS asked
 CROSS JOIN LATERAL (SELECT upper(asked.name) AS job_name) AS n
 CROSS JOIN LATERAL (@schema/job_runs.sql@) AS r
