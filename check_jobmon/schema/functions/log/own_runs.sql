-- What a role that may not read the tables may see of the log: its own runs, and those of roles that it is a member of. The view is a
-- security_barrier, so that a function in a condition of the reader's query is never called with another role's rows.
CREATE OR REPLACE VIEW @schema@.own_runs WITH (security_barrier) AS
SELECT l.job_id, l.owner, l.job_name, l.start_time, l.end_time, l.status, l.pid, l.client_host, l.client_pid
  FROM @schema@.job_log AS l
 WHERE l.owner IN (SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE pg_catalog.pg_has_role(r.oid, @schema/member.sql@));
COMMENT ON VIEW @schema@.own_runs IS
    'The rows of job_log that belong to the current role, or to a role that it is a member of.';
