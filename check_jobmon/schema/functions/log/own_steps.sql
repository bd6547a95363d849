-- The steps of the runs in own_runs. The run is read by a subquery rather than a join, so that each step takes one index probe.
CREATE OR REPLACE VIEW @schema@.own_steps WITH (security_barrier) AS
SELECT d.job_id, d.step_id, d.action, d.start_time, d.end_time, d.elapsed_time, d.status, d.message
  FROM @schema@.job_detail AS d
 WHERE (SELECT l.owner FROM @schema@.job_log AS l WHERE l.job_id = d.job_id)
       IN (SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE pg_catalog.pg_has_role(r.oid, @schema/member.sql@));
COMMENT ON VIEW @schema@.own_steps IS
    'The rows of job_detail that are steps of the runs in own_runs.';
