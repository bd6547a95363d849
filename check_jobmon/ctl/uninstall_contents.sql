-- How many runs, steps, configured jobs, and runs under way there are.
SELECT (SELECT count(*) FROM @schema@.job_log),
       (SELECT count(*) FROM @schema@.job_detail),
       (SELECT count(*) FROM @schema@.job_check_config),
       (SELECT count(*)
          FROM @schema@.job_log AS l
          JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
         WHERE l.end_time IS NULL
           AND @schema/own_backend.sql@ IS NOT FALSE)
