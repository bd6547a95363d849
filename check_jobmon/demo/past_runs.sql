-- Two weeks of runs before those of the demo, for the report's timeline. The triggers are off: they would count the old failures.
SET session_replication_role = replica;
WITH made AS (
    INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
    SELECT 'etl', r.job_name, r.start_time, r.start_time + r.seconds * interval '1 second', CASE WHEN r.failed THEN 'CRITICAL' ELSE 'OK' END, 4711
      FROM (SELECT j.job_name, t.start_time + j.at + (h.number % 240) * interval '1 second' AS start_time,
                   j.seconds * (0.75 + h.number % 50 / 100.0) * (1 + j.growth * (14 - t.days)) AS seconds,
                   h.number % 100 < j.failing AS failed,
                   h.number % 100 >= 100 - j.missing AS missing,
                   j.until
              FROM (VALUES ('CATALOG REFRESH', '0h'::interval, '4h'::interval, 300, 0.0, 2, 0, '5h'::interval),
                           ('CUBE', '3h', '1d', 2400, 0.03, 0, 8, '26h'),
                           ('INVENTORY SYNC', '30m', '2h', 420, 0.0, 9, 0, '3h'),
                           ('NIGHTLY ETL', '1h', '1d', 5400, 0.05, 8, 0, '12h'),
                           ('PARTITION UPKEEP', '22h', '1d', 900, 0.0, 0, 0, '12h'),
                           ('VACUUM BIG TABLES', '4h 30m', '1d', 3000, 0.0, 0, 6, '12h'),
                           ('WAREHOUSE LOAD', '2h 15m', '12h', 4200, 0.02, 4, 0, '12h')
                   ) AS j(job_name, at, every, seconds, growth, failing, missing, until)
             CROSS JOIN LATERAL (
                    SELECT s.start_time, extract(epoch FROM now() - s.start_time) / 86400 AS days
                      FROM generate_series(date_trunc('day', now()) - interval '14 days', now(), j.every) AS s(start_time)
                   ) AS t
             -- instead of random(), so that the runs are the same each time
             CROSS JOIN LATERAL (
                    SELECT abs(hashtextextended(j.job_name || (t.start_time - date_trunc('day', now())), 1)) AS number
                   ) AS h
           ) AS r
     WHERE NOT r.missing
       AND r.start_time < now() - r.until
    RETURNING job_id, job_name, start_time, end_time, status
),
step AS (
    SELECT m.job_id, m.start_time, m.end_time, m.status, n.number, n.action,
           CASE WHEN m.status = 'OK' OR n.number = 1 THEN 'OK' ELSE 'CRITICAL' END AS step_status
      FROM made AS m
     CROSS JOIN (VALUES (1, 'read from the source'), (2, 'write facts')) AS n(number, action)
)
INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, elapsed_time, status, message)
SELECT s.job_id, s.action, t.began, t.ended, extract(epoch FROM t.ended - t.began), s.step_status,
       CASE WHEN s.step_status = 'OK' THEN 'Rows affected: ' || s.job_id * 7919 % 100000
            WHEN s.job_id % 2 = 0 THEN 'ERROR: could not serialize access due to concurrent update [40001]'
            ELSE 'ERROR: connection to server "source" failed: timeout expired [08001]'
       END
  FROM step AS s
 CROSS JOIN LATERAL (
        SELECT s.start_time + (s.end_time - s.start_time) * 0.3 * (s.number - 1) AS began,
               s.start_time + (s.end_time - s.start_time) * CASE WHEN s.number = 1 THEN 0.3 ELSE 1 END AS ended
       ) AS t
 ORDER BY s.job_id, s.number;
RESET session_replication_role;
UPDATE jobmon.job_check_config
   SET owner = 'data-platform@example.com', description = 'Loads the facts of the day before, from all shops.',
       runbook = 'https://wiki.example.com/runbooks/nightly-etl', warn_duration = '3 hours', error_duration = '5 hours'
 WHERE job_name = 'NIGHTLY ETL';
-- with a threshold of one second, the report would show these jobs as missing every day
UPDATE jobmon.job_check_config SET warn_threshold = '25 hours', error_threshold = '2 days' WHERE warn_threshold < '1 minute';
UPDATE jobmon.job_check_config SET owner = 'BI team', runbook = 'https://wiki.example.com/runbooks/cube' WHERE job_name = 'CUBE';
