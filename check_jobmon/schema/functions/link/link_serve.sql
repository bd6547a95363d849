-- The only two routines that the link's role may execute: a procedure, which costs less, and a function that returns an answer.
-- v_signed is what link_call() has signed: [1] the call's name, [2] the caller's role and [3] pid, [4] the time, and from [5] on
-- the arguments. Without the signature, every user of the session could log over an open link: dblink lets all of them use it.
-- The usual calls, by which a role writes to its own open run, are executed right here: calling another function would take longer.
CREATE OR REPLACE PROCEDURE @schema@.link_serve(v_signed text, p_mac bytea)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
SET lock_timeout = '300ms'
-- planning a statement anew for these arguments takes longer than excluding the other partitions when a generic plan is executed
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_call constant text[] := v_signed;
    v_time constant timestamptz := to_timestamp(v_call[4]::double precision);
    -- A run or step that began in the last day is in one of two partitions at most; with these limits, PostgreSQL reads no others.
    v_day  constant timestamptz := to_timestamp(v_call[4]::double precision - 86400);
    v_part oid;
BEGIN
    -- If this is not the first statement of the transaction, somebody has begun it, and could hold the locks of this call for long.
    IF p_mac = @schema/signature.sql@ AND CURRENT_TIMESTAMP = statement_timestamp() THEN
        IF v_call[1] = 'update_step' THEN
            UPDATE job_detail AS d
               SET end_time = v_time,
                   elapsed_time = date_part('epoch', v_time - d.start_time),
                   status = v_call[6],
                   message = v_call[7]
             WHERE d.step_id = v_call[5]::bigint
               AND d.start_time BETWEEN v_day AND v_time
               AND d.end_time IS NULL
               AND (SELECT r.owner FROM job_log AS r WHERE r.job_id = d.job_id AND r.start_time BETWEEN v_day AND v_time)
                   = v_call[2];
        ELSIF v_call[1] = 'add_step' THEN
            INSERT INTO job_detail (job_id, step_id, action, start_time)
                 SELECT r.job_id, v_call[5]::bigint, v_call[7], v_time
                   FROM job_log AS r
                  WHERE r.job_id = v_call[6]::bigint
                    AND r.start_time BETWEEN v_day AND v_time
                    AND r.owner = v_call[2]
                    FOR KEY SHARE;
        ELSIF v_call[1] = 'add_job' AND CURRENT_TIMESTAMP <= v_time + interval '1 hour' THEN
            INSERT INTO job_log (job_id, owner, job_name, start_time, pid)
                 VALUES (v_call[5]::bigint, v_call[2], v_call[6], v_time, v_call[3]::integer)
              RETURNING tableoid INTO v_part;
            IF v_part = to_regclass('@schema@.job_log_default') THEN
                PERFORM link_partition();
            END IF;
        ELSIF v_call[1] = 'end_job' THEN
            UPDATE job_log AS r
               SET end_time = v_time,
                   status = t.alert_text
              FROM job_status_text AS t
             WHERE r.job_id = v_call[5]::bigint
               AND r.start_time BETWEEN v_day AND v_time
               AND r.end_time IS NULL
               AND r.owner = v_call[2]
               AND t.alert_code = v_call[6]::integer;
        END IF;
    END IF;
    IF NOT FOUND THEN
        -- an unusual call, or one that is not signed
        PERFORM link_answer(v_signed, p_mac);
    END IF;
END
$$;
COMMENT ON PROCEDURE @schema@.link_serve(text, bytea) IS 'Internal: the link''s side of the logging functions.';

CREATE OR REPLACE FUNCTION @schema@.link_answer(v_signed text, p_mac bytea) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
SET lock_timeout = '300ms'
AS $$
DECLARE
    v_call constant text[] := v_signed;
BEGIN
    IF (p_mac = @schema/signature.sql@) IS NOT TRUE THEN
        PERFORM link_refuse();
    ELSIF CURRENT_TIMESTAMP <> statement_timestamp() THEN
        RAISE EXCEPTION 'somebody has begun a transaction on the job log''s link'
            USING ERRCODE = 'invalid_transaction_state', HINT = 'Close the link with dblink_disconnect(), and call again.';
    END IF;
    RETURN link_do(v_call);
END
$$;
COMMENT ON FUNCTION @schema@.link_answer(text, bytea) IS
    'Internal: the link''s side of those logging functions that need an answer.';
