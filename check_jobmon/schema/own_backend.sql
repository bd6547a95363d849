-- Whether the backend a (a row of pg_stat_activity) is that of the run l (a row of job_log with the same pid), because pids are reused. It
-- is if it began before the run, and the run began on this server; or if it has the
-- application_name that claim_job() sets. Any role could set that, so the backend must also have logged in as the run's owner, or as a
-- role that has the owner's rights. NULL if the reader may not see when the backend began.
(a.backend_start <= l.start_time AND l.start_time >= @schema/writable_since.sql@
 OR starts_with(a.application_name, 'jobmon run ' || l.job_id || ':')
    AND EXISTS (SELECT FROM pg_roles AS w WHERE w.rolname = l.owner AND pg_has_role(a.usesysid, w.oid, @schema/member.sql@)))
