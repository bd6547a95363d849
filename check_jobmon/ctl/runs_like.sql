-- The newest runs of the jobs whose names match a pattern. The pattern is matched in any letter case instead of in upper case,
-- because \D means something else than \d. A text without special characters is also found as add_job() capitalizes it: some
-- locales do that in another way than regular expressions compare letters.
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
