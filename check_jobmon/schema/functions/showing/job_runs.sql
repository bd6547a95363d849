-- What show_job() and its siblings share: a job's runs, newest first.
-- The index has them in order within a status, so the newest of each status are fetched and sorted together.
CREATE OR REPLACE FUNCTION @schema@.job_runs(p_job_name text, p_limit integer) RETURNS SETOF @schema@.job_log
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
WITH RECURSIVE word AS (
    -- the statuses that the job's runs have, one probe for each
    (SELECT l.status
       FROM job_log AS l
      WHERE l.job_name = p_job_name
        AND l.end_time IS NOT NULL
        AND l.status IS NOT NULL
      ORDER BY l.status
      LIMIT 1)
    UNION ALL
    SELECT (SELECT l.status
              FROM job_log AS l
             WHERE l.job_name = p_job_name
               AND l.end_time IS NOT NULL
               AND l.status > w.status
             ORDER BY l.status
             LIMIT 1)
      FROM word AS w
     WHERE w.status IS NOT NULL
)
SELECT *
  FROM (
        SELECT r.*
          FROM word AS w
         CROSS JOIN LATERAL (
                SELECT l.*
                  FROM job_log AS l
                 WHERE l.job_name = p_job_name
                   AND l.status = w.status
                   AND l.end_time IS NOT NULL
                 ORDER BY l.job_id DESC
                 LIMIT p_limit
               ) AS r
        UNION ALL
        -- ended without a status: only by somebody's own hand
        (SELECT l.*
           FROM job_log AS l
          WHERE l.job_name = p_job_name
            AND l.status IS NULL
            AND l.end_time IS NOT NULL
          ORDER BY l.job_id DESC
          LIMIT p_limit)
        UNION ALL
        SELECT l.*
          FROM job_log AS l
         WHERE l.job_name = p_job_name
           AND l.end_time IS NULL
       ) AS runs
 ORDER BY job_id DESC
 LIMIT p_limit
$$;
COMMENT ON FUNCTION @schema@.job_runs(text, integer) IS
    'The latest runs of the job with exactly this name, newest first. Rather call show_job().';
