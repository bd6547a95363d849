-- The latest runs of all jobs whose name matches.
-- Finds the names first, with one index probe each, however many runs they have; then matches them.
CREATE OR REPLACE FUNCTION @schema@.show_job_like(p_name text, integer DEFAULT 10) RETURNS SETOF @schema@.job_log
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT r.*
  FROM (
@schema/logged_names.sql@
       ) AS n
 CROSS JOIN LATERAL job_runs(n.job_name, $2) AS r
 -- Names are upper case. ~* rather than upper(p_name), which would turn \d into \D. The second condition is for a plain text with letters
 -- that upper() converts in another way than regular expressions do.
 WHERE n.job_name ~* p_name OR strpos(n.job_name, upper(p_name)) > 0
 ORDER BY r.job_id DESC
 LIMIT $2
$$;
COMMENT ON FUNCTION @schema@.show_job_like(text, integer) IS
    'The latest runs of all jobs whose name matches this regular expression, in upper or lower case, newest first; 10 runs by '
    'default. A plain text matches the names that contain it.';
