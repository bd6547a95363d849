-- The backend of a run, and whether it is executing a statement that began no later than a given time. Parameters: that time, and the
-- job_id of the run.
SELECT a.application_name,
       host(a.client_addr),
       a.state,
       left(a.query, 2000),
       coalesce(a.state IN ('active', 'fastpath function call') AND a.query_start <= %s, false)
  FROM @schema@.job_log AS l
  JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
 WHERE l.job_id = %s
   AND @schema/own_backend.sql@ IS NOT FALSE
