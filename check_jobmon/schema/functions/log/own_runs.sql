-- What of the log a role may see that may not read the tables: the runs of the roles that it is, or is a member of. A
-- security_barrier, so that a function in the reader's own condition is never called with another role's row.
CREATE OR REPLACE VIEW @schema@.own_runs WITH (security_barrier) AS
SELECT l.job_id, l.owner, l.job_name, l.start_time, l.end_time, l.status, l.pid, l.client_host, l.client_pid
  FROM @schema@.job_log AS l
 WHERE l.owner IN (SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE pg_catalog.pg_has_role(r.oid, @schema/member.sql@));
COMMENT ON VIEW @schema@.own_runs IS
    'The rows of job_log that are runs of the role that reads this, or of a role that it is a member of.';
