-- The two ways in for the link's role, which may execute nothing else: a CALL, which costs less, and one that answers.
-- p_call is what link_call() has signed: the call's name, who calls (role and pid), when, for how long it may wait for a lock,
-- and from [6] the arguments. The signature keeps others from using an open link: dblink lends it to every user of the session.
-- One expression each, because every expression of PL/pgSQL is made ready anew in every transaction, and this is one.
-- The functions called for most calls have no search_path of their own, which would cost all of them: it is set here.
CREATE OR REPLACE PROCEDURE @schema@.link_serve(p_call text[], p_mac text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_answer text;
BEGIN
    v_answer := CASE
        WHEN (p_mac = link_mac(p_call::text)) IS NOT TRUE THEN link_refuse()
        -- sets it, and goes on
        WHEN p_call[5] <> '0' AND set_config('lock_timeout', p_call[5], true) IS NULL THEN NULL
        ELSE CASE p_call[1]
            WHEN 'update_step' THEN link_update_step(p_call)
            WHEN 'add_step' THEN link_add_step(p_call)
            WHEN 'add_job' THEN link_add_job(p_call)
            WHEN 'end_job' THEN link_end_job(p_call)
            ELSE link_refuse()
        END
    END;
END
$$;
COMMENT ON PROCEDURE @schema@.link_serve(text[], text) IS 'Internal: the link''s side of the logging functions.';

CREATE OR REPLACE FUNCTION @schema@.link_answer(p_call text[], p_mac text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN (p_mac = link_mac(p_call::text)) IS NOT TRUE THEN link_refuse()
        -- sets it, and goes on
        WHEN p_call[5] <> '0' AND set_config('lock_timeout', p_call[5], true) IS NULL THEN NULL
        ELSE CASE p_call[1]
            WHEN 'add_step' THEN link_add_step(p_call)
            WHEN 'add_job' THEN link_add_job(p_call)
            WHEN 'lock_job' THEN link_lock_job(p_call)
            WHEN 'cancel_job' THEN link_cancel_job(p_call)
            WHEN 'add_past_run' THEN link_add_past_run(p_call)
            WHEN 'clear' THEN link_clear(p_call)
            WHEN 'ping' THEN 'pong'
            ELSE link_refuse()
        END
    END;
END
$$;
COMMENT ON FUNCTION @schema@.link_answer(text[], text) IS
    'Internal: the link''s side of those logging functions that need an answer.';
