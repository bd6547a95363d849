-- Executes what link_call() has signed: the call's name, who calls (role and pid), when, for how long it may wait for a lock,
-- and the arguments. This is what keeps others from using an open link: dblink lends it to every user of the session.
-- A call that is sent once more changes nothing: each routine compares the time. After an hour the run that the call added
-- may have been deleted, so a call is not taken any more by then.
-- Neither this function nor the four that most calls go to have a search_path of their own: link_serve() has set it.
CREATE OR REPLACE FUNCTION @schema@.link_dispatch(p_call text, p_mac text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    v_call text[];
    v_role text;
    v_pid  integer;
    v_time timestamptz;
BEGIN
    IF (p_mac = link_mac(p_call)) IS NOT TRUE THEN
        RAISE EXCEPTION 'this call was not signed by the job log''s functions'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Call add_job() and its siblings; they are what uses the link.';
    END IF;
    v_call := p_call;
    v_role := v_call[2];
    v_pid := v_call[3];
    v_time := to_timestamp(v_call[4]::double precision / 1000000);
    IF v_time NOT BETWEEN clock_timestamp() - interval '1 hour' AND clock_timestamp() + interval '1 hour' THEN
        RAISE EXCEPTION 'this call was signed at %, and is taken within an hour of that only', v_time
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Where the link leads to another server, set the clocks of the two.';
    END IF;
    IF v_call[5] <> '0' THEN
        PERFORM set_config('lock_timeout', v_call[5], true);
    END IF;
    CASE v_call[1]
        WHEN 'update_step' THEN
            RETURN link_update_step(v_call[6]::bigint, v_call[7], v_call[8], v_role, v_pid, v_time);
        WHEN 'add_step' THEN
            RETURN link_add_step(v_call[6]::bigint, v_call[7]::bigint, v_call[8], v_role, v_pid, v_time);
        WHEN 'add_job' THEN
            RETURN link_add_job(v_call[6]::bigint, v_call[7], v_role, v_pid, v_time);
        WHEN 'end_job' THEN
            RETURN link_end_job(v_call[6]::bigint, v_call[7]::integer, v_role, v_pid, v_time);
        WHEN 'lock_job' THEN
            RETURN link_lock_job(v_call[6]::bigint, v_role, v_pid);
        WHEN 'cancel_job' THEN
            RETURN link_cancel_job(v_call[6]::bigint, v_role, v_pid, v_time);
        WHEN 'add_past_run' THEN
            RETURN link_add_past_run(v_call[6:], v_role);
        WHEN 'clear' THEN
            RETURN link_clear(v_call[6]::bigint, v_call[7]::timestamptz, v_call[8]::bigint, v_call[9]::bigint);
        WHEN 'ping' THEN
            RETURN NULL;
    END CASE;
END
$$;
COMMENT ON FUNCTION @schema@.link_dispatch(text, text) IS 'Internal: verifies a call''s signature, and executes it.';
