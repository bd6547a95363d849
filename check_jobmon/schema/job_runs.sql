-- The job_ids of a job's latest runs, newest first. The index has the runs in order only within each status, so the newest runs of each
-- status are fetched and then sorted. @job_name@: an expression for the name, @limit@: one for the number of runs.
WITH RECURSIVE word AS (
    -- the statuses that the job's runs have, one probe for each
    (SELECT l.status
       FROM @schema@.job_log AS l
      WHERE l.job_name = @job_name@
        AND l.end_time IS NOT NULL
        AND l.status IS NOT NULL
      ORDER BY l.status
      LIMIT 1)
    UNION ALL
    SELECT (SELECT l.status
              FROM @schema@.job_log AS l
             WHERE l.job_name = @job_name@
               AND l.end_time IS NOT NULL
               AND l.status > w.status
             ORDER BY l.status
             LIMIT 1)
      FROM word AS w
     WHERE w.status IS NOT NULL
)
SELECT runs.job_id
  FROM (
        SELECT r.job_id
          FROM word AS w
         CROSS JOIN LATERAL (
                SELECT l.job_id
                  FROM @schema@.job_log AS l
                 WHERE l.job_name = @job_name@
                   AND l.status = w.status
                   AND l.end_time IS NOT NULL
                 ORDER BY l.job_id DESC
                 LIMIT @limit@
               ) AS r
        UNION ALL
        -- Runs that ended without a status, after a manual UPDATE. With ORDER BY job_id alone, PostgreSQL 18 would read each partition's
        -- primary key.
        (SELECT l.job_id
           FROM @schema@.job_log AS l
          WHERE l.job_name = @job_name@
            AND l.status IS NULL
            AND l.end_time IS NOT NULL
          ORDER BY l.status DESC, l.job_id DESC
          LIMIT @limit@)
        UNION ALL
        SELECT l.job_id
          FROM @schema@.job_log AS l
         WHERE l.job_name = @job_name@
           AND l.end_time IS NULL
       ) AS runs
 ORDER BY runs.job_id DESC
 LIMIT @limit@
