-- The backend of a run, and whether it is at a statement that began by a given time. Parameters: that time, the run's pid,
-- its start_time and job_id.
SELECT a.application_name,
       host(a.client_addr),
       a.state,
       left(a.query, 2000),
       coalesce(a.state IN ('active', 'fastpath function call') AND a.query_start <= %s, false)
  FROM pg_stat_activity AS a
 WHERE a.pid = %s
   AND a.datname = current_database()
   AND (coalesce(a.backend_start <= %s, true) OR starts_with(a.application_name, 'jobmon run ' || %s::bigint || ':'))
