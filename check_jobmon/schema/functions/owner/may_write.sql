-- Whether a role may write to a run, and whether it may cancel the run. In both functions, current_user is the owner of the job log.
CREATE OR REPLACE FUNCTION @schema@.may_write(p_run @schema@.job_log, p_role text, p_pid integer) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT p_run.owner = p_role
    OR EXISTS (SELECT FROM pg_roles AS r
                WHERE r.rolname = p_role
                  AND (pg_has_role(r.oid, current_user, @schema/member.sql@)
                       OR EXISTS (SELECT FROM pg_roles AS o
                                   WHERE o.rolname = p_run.owner AND pg_has_role(r.oid, o.oid, @schema/member.sql@))))
    OR p_run.pid = p_pid AND EXISTS (SELECT FROM (SELECT p_run.*) AS l
                                       JOIN pg_stat_activity AS a ON a.pid = p_pid AND a.datname = current_database()
                                      WHERE @schema/own_backend.sql@)
                         -- not if sessions of another server may log here, because they may have the same pids
                         AND NOT EXISTS (SELECT FROM dblink_mapping AS m WHERE m.host IS NOT NULL)
$$;
COMMENT ON FUNCTION @schema@.may_write(@schema@.job_log, text, integer) IS
    'Internal: whether the role p_role, in the session with the pid p_pid, may write to a run: if it is the run''s owner, '
    'the owner of the job log or a member of either, or if that session is the run''s own.';

CREATE OR REPLACE FUNCTION @schema@.may_cancel(p_run @schema@.job_log, p_role text, p_pid integer) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT may_write(p_run, p_role, p_pid)
    OR EXISTS (SELECT FROM pg_roles AS r
                CROSS JOIN (SELECT p_run.*) AS l
                 LEFT JOIN (pg_stat_activity AS a JOIN pg_roles AS b ON b.oid = a.usesysid)
                   ON a.pid = l.pid
                  AND a.datname = current_database()
                  AND @schema/own_backend.sql@
                WHERE r.rolname = p_role
                  -- the rule of pg_cancel_backend()
                  AND (pg_has_role(r.oid, b.oid, 'USAGE')
                       OR pg_has_role(r.oid, 'pg_signal_backend', 'USAGE') AND NOT b.rolsuper
                       -- the role {schema}_admin; if the owner may not see the backend, cancel_job_backend() raises an error
                       OR has_function_privilege(r.oid, '@schema@.cancel_job_as_owner(bigint)', 'EXECUTE') AND b.rolsuper IS NOT TRUE))
$$;
COMMENT ON FUNCTION @schema@.may_cancel(@schema@.job_log, text, integer) IS
    'Internal: whether the role p_role, in the session with the pid p_pid, may cancel a run: if it may write to the run, cancel '
    'its backend, or administer the log.';
