-- Of the job names in the parameter, those under which no run was ever logged.
SELECT n.name
  FROM unnest(%s::text[]) AS n(name)
 WHERE NOT EXISTS (SELECT FROM @schema@.job_log AS l WHERE l.job_name = n.name)
