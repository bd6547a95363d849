-- Which jobs in job_status.sql wait for another that they depend on (`dependent`), because that is missing, has failed or is running.
chain AS (
    -- The jobs that a job depends on, and those that these depend on. `missing`: all before this one in the chain are missing.
    SELECT j.job_name, j.depends_on AS cause, j.missing_code > 1 AS missing, 1 AS depth
      FROM with_codes AS j
     WHERE j.depends_on IS NOT NULL
     UNION ALL
    SELECT c.job_name, j.depends_on, c.missing AND j.missing_code > 1, c.depth + 1
      FROM chain AS c
      JOIN with_codes AS j ON j.job_name = c.cause
     WHERE j.depends_on IS NOT NULL
       AND c.cause <> c.job_name
       AND c.depth < 100
),
dependent AS (
    -- A missing job waits for the first cause in its chain. In a circle, no job waits.
    SELECT c.job_name, bool_or(c.cause = c.job_name OR c.depth = 100) AS in_circle, bool_or(c.depth = 1 AND j.job_name IS NULL) AS on_unknown,
           array_agg(ARRAY[left(c.cause, 500), w.status, to_char(w.since, 'YYYY-MM-DD HH24:MI TZ')] ORDER BY c.depth DESC)
               FILTER (WHERE c.missing AND w.status IS NOT NULL) AS causes
      FROM chain AS c
      LEFT JOIN with_codes AS j ON j.job_name = c.cause AND j.configured
     CROSS JOIN LATERAL (
            SELECT CASE WHEN NOT j.active THEN NULL
                        WHEN j.missing_code > 1 THEN 'missing'
                        WHEN j.failed_code > 1 THEN 'failed'
                        WHEN j.alive_job_id IS NOT NULL THEN 'running'
                   END AS status,
                   CASE WHEN j.missing_code > 1 THEN j.counted_from
                        WHEN j.failed_code > 1 THEN j.done_end
                        ELSE j.alive_start
                   END AS since
           ) AS w
     GROUP BY c.job_name
)
