-- What link_call() has signed, taken apart: the call's name, who calls (role and pid), when, for how long it may wait for a
-- lock, and the arguments. This is what keeps others from using an open link: dblink lends it to every user of the session.
-- A call that is sent once more changes nothing: see where its time is compared.
CREATE OR REPLACE FUNCTION @schema@.link_verified(p_call text, p_mac text) RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_call text[];
BEGIN
    IF (p_mac = link_mac(p_call)) IS NOT TRUE THEN
        RAISE EXCEPTION 'this call was not signed by the job log''s functions'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Call add_job() and its siblings: they are what uses the link.';
    END IF;
    v_call := p_call;
    IF v_call[5] <> '0' THEN
        PERFORM set_config('lock_timeout', v_call[5], true);
    END IF;
    RETURN v_call;
END
$$;
COMMENT ON FUNCTION @schema@.link_verified(text, text) IS
    'Internal: the elements of a call that was sent over the link; an error if it is not signed.';
