-- A condition on m: whether the job was selected, or a selected job depends on it. @names@: the names of the selected jobs, as texts.
upper(m.job_name) IN (@names@)
OR m.job_name IN (
   WITH RECURSIVE needed AS (
       SELECT c.depends_on AS job_name FROM config AS c WHERE upper(c.job_name) IN (@names@)
        UNION
       SELECT c.depends_on FROM needed AS n JOIN config AS c ON c.job_name = n.job_name
   )
   SELECT n.job_name FROM needed AS n WHERE n.job_name IS NOT NULL
)
