-- The two ways in for the link's role, which may execute nothing else: a CALL, which costs less, and one that answers.
CREATE OR REPLACE PROCEDURE @schema@.link_serve(p_call text, p_mac text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_answer text;
BEGIN
    v_answer := link_dispatch(p_call, p_mac);
END
$$;
COMMENT ON PROCEDURE @schema@.link_serve(text, text) IS 'Internal: the link''s side of the logging functions.';

CREATE OR REPLACE FUNCTION @schema@.link_answer(p_call text, p_mac text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    RETURN link_dispatch(p_call, p_mac);
END
$$;
COMMENT ON FUNCTION @schema@.link_answer(text, text) IS
    'Internal: the link''s side of those logging functions that need an answer.';
