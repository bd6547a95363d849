-- Whether the backend a, a row of pg_stat_activity, is that of the run l, a row of job_log with the same pid: pids are reused. It is
-- if it began before the run, on this server. A later backend has the name that claim_job() gives it, but any role could use that
-- name, so it must have logged in as the run's owner or as a role that may act as the owner.
-- NULL if the reader may not see when the backend began.
(a.backend_start <= l.start_time AND l.start_time >= @schema/writable_since.sql@
 OR starts_with(a.application_name, 'jobmon run ' || l.job_id || ':')
    AND EXISTS (SELECT FROM pg_roles AS w WHERE w.rolname = l.owner AND pg_has_role(a.usesysid, w.oid, @schema/member.sql@)))
