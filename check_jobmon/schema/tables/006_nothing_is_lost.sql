-- What other settings, other clocks and restored copies need: keys for every table, and checks on what is written.

-- The key that signs the calls over the link, in two halves. In sequences, because pg_sequence_last_value() reads one within an
-- expression: the query that a table takes made each logged job a sixth slower.
ALTER TABLE @schema@.link DROP COLUMN mac_key;
CREATE SEQUENCE @schema@.link_key_1 MINVALUE -9223372036854775808;
CREATE SEQUENCE @schema@.link_key_2 MINVALUE -9223372036854775808;
COMMENT ON SEQUENCE @schema@.link_key_1 IS
    'Half of the key that signs the calls over the link, so that nobody else using the link can log in another''s name. '
    'Made and kept by bootstrap, for the owner''s eyes only.';
COMMENT ON SEQUENCE @schema@.link_key_2 IS 'The other half of that key.';
REVOKE ALL ON SEQUENCE @schema@.link_key_1, @schema@.link_key_2 FROM PUBLIC;
DROP ROUTINE IF EXISTS @schema@.link_answer(text, text);
DROP ROUTINE IF EXISTS @schema@.link_serve(text, text);
