-- The job_ids of a job's latest runs, newest first. The index has them in order for each status, so the newest of each status are
-- fetched and then sorted. @job_name@: an expression for the name, @limit@: one for the number of runs.
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
        -- ended without a status, which only a manual UPDATE does. An order by job_id alone has PostgreSQL 18 read each partition's
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
