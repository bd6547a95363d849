-- The latest runs of all jobs whose name matches.
-- Matches the names first: they are found one probe each, however many runs they have.
CREATE OR REPLACE FUNCTION @schema@.show_job_like(p_name text, integer DEFAULT 10) RETURNS SETOF @schema@.job_log
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
WITH RECURSIVE done AS (
    (SELECT l.job_name
       FROM job_log AS l
      WHERE l.end_time IS NOT NULL
      ORDER BY l.job_name
      LIMIT 1)
    UNION ALL
    SELECT (SELECT l.job_name
              FROM job_log AS l
             WHERE l.end_time IS NOT NULL
               AND l.job_name > d.job_name
             ORDER BY l.job_name
             LIMIT 1)
      FROM done AS d
     WHERE d.job_name IS NOT NULL
),
name AS (
    SELECT job_name FROM done
    UNION
    SELECT l.job_name FROM job_log AS l WHERE l.end_time IS NULL
)
SELECT r.*
  FROM name AS n
 CROSS JOIN LATERAL job_runs(n.job_name, $2) AS r
 -- names are upper case; matching in any case and not by upper(p_name) leaves \d and its like what they are
 WHERE n.job_name ~* p_name
 ORDER BY r.job_id DESC
 LIMIT $2
$$;
COMMENT ON FUNCTION @schema@.show_job_like(text, integer) IS
    'The runs of all jobs whose name contains this text or matches it as a regular expression, in any case, newest '
    'first: 10 of them unless told otherwise.';
