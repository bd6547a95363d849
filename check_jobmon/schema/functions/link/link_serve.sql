-- The two ways in for the link's role, which may execute nothing else: a CALL, which costs less, and one that answers.
-- The functions that they share have no search_path of their own where that would cost all callers: it is set here.
CREATE OR REPLACE PROCEDURE @schema@.link_serve(p_call text, p_mac text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_call   text[] := link_verified(p_call, p_mac);
    v_answer text;
BEGIN
    v_answer := CASE v_call[1]
        WHEN 'update_step' THEN link_update_step(v_call)
        WHEN 'add_step' THEN link_add_step(v_call)
        WHEN 'add_job' THEN link_add_job(v_call)
        WHEN 'end_job' THEN link_end_job(v_call)
    END;
END
$$;
COMMENT ON PROCEDURE @schema@.link_serve(text, text) IS 'Internal: the link''s side of the logging functions.';

CREATE OR REPLACE FUNCTION @schema@.link_answer(p_call text, p_mac text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_call text[] := link_verified(p_call, p_mac);
BEGIN
    RETURN CASE v_call[1]
        WHEN 'add_step' THEN link_add_step(v_call)
        WHEN 'add_job' THEN link_add_job(v_call)
        WHEN 'lock_job' THEN link_lock_job(v_call)
        WHEN 'cancel_job' THEN link_cancel_job(v_call)
        WHEN 'add_past_run' THEN link_add_past_run(v_call)
        WHEN 'clear' THEN link_clear(v_call)
    END;
END
$$;
COMMENT ON FUNCTION @schema@.link_answer(text, text) IS
    'Internal: the link''s side of those logging functions that need an answer.';
