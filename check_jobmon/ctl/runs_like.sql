-- The newest runs of the jobs whose names match a pattern. @all_names@: a SELECT of all names; @job_runs@: job_runs.sql for
-- n.job_name and asked.number. Matching in any case, not the upper() of the pattern, keeps \d what it is; but a plain text is
-- also found as add_job() capitalizes it, where that takes more than one letter for one, or other letters than regular expressions do.
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
