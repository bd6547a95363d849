-- Cuts a text to 64 KiB: a longer one keeps its beginning and its end, and between them a note of how much was left out.
CREATE OR REPLACE FUNCTION @schema@.bounded_text(p_text text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    v_half constant integer := 32700;
    v_head pg_catalog.text;
    v_tail pg_catalog.text;
BEGIN
    IF pg_catalog.octet_length(p_text) OPERATOR(pg_catalog.>) 65536 THEN
        v_head := pg_catalog.left(p_text, v_half);
        v_tail := pg_catalog.right(p_text, v_half);
        -- the limit is in bytes, but only whole characters can be cut off
        WHILE pg_catalog.octet_length(v_head) OPERATOR(pg_catalog.>) v_half LOOP
            v_head := pg_catalog.left(v_head, pg_catalog.length(v_head) OPERATOR(pg_catalog.*) v_half
                                              OPERATOR(pg_catalog./) pg_catalog.octet_length(v_head));
        END LOOP;
        WHILE pg_catalog.octet_length(v_tail) OPERATOR(pg_catalog.>) v_half LOOP
            v_tail := pg_catalog.right(v_tail, pg_catalog.length(v_tail) OPERATOR(pg_catalog.*) v_half
                                               OPERATOR(pg_catalog./) pg_catalog.octet_length(v_tail));
        END LOOP;
        RETURN pg_catalog.format('%s ... [%s characters left out] ... %s', v_head,
                                 pg_catalog.length(p_text) OPERATOR(pg_catalog.-) pg_catalog.length(v_head)
                                 OPERATOR(pg_catalog.-) pg_catalog.length(v_tail), v_tail);
    END IF;
    RETURN p_text;
END
$$;
COMMENT ON FUNCTION @schema@.bounded_text(text) IS
    'Internal: the text; if it is longer than 64 KiB, its beginning and its end, and between them a note that says how many characters '
    'were left out.';

CREATE OR REPLACE FUNCTION @schema@.bounded_text(p_texts text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE
AS $$
    SELECT pg_catalog.array_agg(@schema@.bounded_text(t.text) ORDER BY t.number)
      FROM pg_catalog.unnest(p_texts) WITH ORDINALITY AS t(text, number)
$$;
COMMENT ON FUNCTION @schema@.bounded_text(text[]) IS 'Internal: the texts, each cut to 64 KiB.';
