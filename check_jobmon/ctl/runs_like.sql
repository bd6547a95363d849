-- The newest runs of the jobs whose names match a pattern. @all_names@: a SELECT of all names; @job_runs@: job_runs.sql for
-- n.job_name and asked.number. The pattern is matched case-insensitively instead of being converted to upper case, because \D and \d
-- are different. In addition, the pattern is searched for as plain text, in upper case as add_job() converts names: in some locales,
-- upper() and case-insensitive matching treat some letters differently.
SELECT newest.job_id
  FROM (SELECT %s AS pattern, %s AS number) AS asked
 CROSS JOIN LATERAL (
        SELECT r.job_id
          FROM (@all_names@) AS n
         CROSS JOIN LATERAL (@job_runs@) AS r
         WHERE n.job_name ~* asked.pattern OR strpos(n.job_name, upper(asked.pattern)) > 0
         ORDER BY r.job_id DESC
         LIMIT asked.number
       ) AS newest
