-- The newest runs of a job; the parameters are its name, in any case, and how many. @job_runs@: job_runs.sql for those two.
SELECT r.job_id
  FROM (SELECT upper(%s) AS name, %s AS number) AS asked
 CROSS JOIN LATERAL (@job_runs@) AS r
