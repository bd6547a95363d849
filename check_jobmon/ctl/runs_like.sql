-- The newest runs of the jobs whose names match a pattern. The pattern is matched case-insensitively instead of being converted to
-- upper case, because \D and \d are different. In addition, the pattern is searched for as plain text, in upper case as add_job()
-- converts names: in some locales, upper() and case-insensitive matching treat some letters differently.
SELECT newest.job_id
  FROM (SELECT %s AS pattern, %s AS number) AS asked
 CROSS JOIN LATERAL (
        SELECT r.job_id
          FROM (@schema/logged_names.sql@) AS n
         CROSS JOIN LATERAL (@schema/job_runs.sql@) AS r
         WHERE n.job_name ~* asked.pattern OR strpos(n.job_name, upper(asked.pattern)) > 0
         ORDER BY r.job_id DESC
         LIMIT asked.number
       ) AS newest
