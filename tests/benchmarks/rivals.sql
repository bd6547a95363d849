-- What the benchmark compares our logging functions with. Both write the rows that ours write, into the same tables.

CREATE ROLE rival LOGIN PASSWORD 'rival';
GRANT USAGE ON SCHEMA jobmon TO rival;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA jobmon TO rival;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobmon TO rival;

-- (a) each call opens a dblink connection, runs one statement on it and closes it
CREATE SCHEMA each_call;

CREATE FUNCTION each_call.run(p_sql text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    v_result bigint;
BEGIN
    PERFORM jobmon_dblink.dblink_connect('each_call', format('host=%s port=%s dbname=%s user=rival password=rival',
            current_setting('unix_socket_directories'), current_setting('port'), current_database()));
    SELECT r.result INTO v_result FROM jobmon_dblink.dblink('each_call', p_sql) AS r(result bigint);
    PERFORM jobmon_dblink.dblink_disconnect('each_call');
    RETURN v_result;
END
$$;

CREATE FUNCTION each_call.add_job(p_job_name text) RETURNS bigint
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN each_call.run(format(
        'INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)'
        ' VALUES (%L, %L, clock_timestamp(), %s) RETURNING job_id',
        session_user, upper(p_job_name), pg_backend_pid()));
END
$$;

CREATE FUNCTION each_call.add_step(p_job_id bigint, p_action text) RETURNS bigint
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN each_call.run(format(
        'INSERT INTO jobmon.job_detail (job_id, action, start_time) VALUES (%s, %L, clock_timestamp()) RETURNING step_id',
        p_job_id, p_action));
END
$$;

CREATE FUNCTION each_call.update_step(p_step_id bigint, p_status text, p_message text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM each_call.run(format(
        'UPDATE jobmon.job_detail SET end_time = now(), elapsed_time = extract(epoch FROM now() - start_time),'
        ' status = %L, message = %L WHERE step_id = %s RETURNING step_id',
        p_status, p_message, p_step_id));
END
$$;

CREATE FUNCTION each_call.close_job(p_job_id bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM each_call.run(format(
        'UPDATE jobmon.job_log SET end_time = now(),'
        ' status = (SELECT alert_text FROM jobmon.job_status_text WHERE alert_code = 1) WHERE job_id = %s RETURNING job_id',
        p_job_id));
END
$$;

-- (d) each call writes in the caller's own transaction: a rollback would take the log with it
CREATE SCHEMA no_autonomy;

CREATE FUNCTION no_autonomy.add_job(p_job_name text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)
         VALUES (session_user, upper(p_job_name), clock_timestamp(), pg_backend_pid())
      RETURNING job_id INTO v_job_id;
    RETURN v_job_id;
END
$$;

CREATE FUNCTION no_autonomy.add_step(p_job_id bigint, p_action text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    v_step_id bigint;
BEGIN
    INSERT INTO jobmon.job_detail (job_id, action, start_time)
         VALUES (p_job_id, p_action, clock_timestamp())
      RETURNING step_id INTO v_step_id;
    RETURN v_step_id;
END
$$;

CREATE FUNCTION no_autonomy.update_step(p_step_id bigint, p_status text, p_message text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE jobmon.job_detail
       SET end_time = clock_timestamp(),
           elapsed_time = extract(epoch FROM clock_timestamp() - start_time),
           status = p_status,
           message = p_message
     WHERE step_id = p_step_id;
END
$$;

CREATE FUNCTION no_autonomy.close_job(p_job_id bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE jobmon.job_log
       SET end_time = clock_timestamp(),
           status = (SELECT alert_text FROM jobmon.job_status_text WHERE alert_code = 1)
     WHERE job_id = p_job_id;
END
$$;
