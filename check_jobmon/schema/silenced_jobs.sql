-- Which active jobs in job_status.sql are silenced, and by which silence. @silences@: the silences that are in force,
-- which is silences.sql, or no_silences.sql if none is to count.
active_name AS MATERIALIZED (
    -- narrow, because each silence goes through all of it
    SELECT m.job_name, upper(m.job_name) AS upper_name, m.lost_start FROM monitored AS m WHERE m.active
),
silenced AS (
    -- The one that ends last. One silence after the other: PostgreSQL doesn't keep many regular expressions compiled.
    SELECT DISTINCT ON (m.job_name) m.job_name, s.silence_id, s.ends, s.until_next_run, s.created_by, s.reason
      FROM (@silences@) AS s
     CROSS JOIN LATERAL (
            SELECT n.job_name
              FROM active_name AS n
             WHERE @schema/silence_matches.sql@
               AND NOT (s.until_next_run
                        AND (coalesce(n.lost_start >= s.starts, false)
                             OR EXISTS (SELECT FROM @schema@.job_log AS r
                                         WHERE r.job_name = n.job_name AND r.end_time >= s.starts AND r.start_time >= s.starts)))
            OFFSET 0
           ) AS m
     ORDER BY m.job_name, s.ends DESC, s.silence_id
)
