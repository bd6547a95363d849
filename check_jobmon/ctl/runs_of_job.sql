-- The newest runs of a job, whose name may be in upper or lower case.
SELECT r.job_id
  FROM (SELECT %s AS name, %s AS number) AS asked
 CROSS JOIN LATERAL (SELECT upper(asked.name) AS job_name) AS n
 CROSS JOIN LATERAL (@schema/job_runs.sql@) AS r
