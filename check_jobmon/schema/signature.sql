-- The signature of the text v_signed: the SHA-256 hash of the first half of the key, the text, and the second half.
-- An expression rather than a function or a query, because each logging call evaluates it twice.
pg_catalog.sha256(
                pg_catalog.int8send(pg_catalog.pg_sequence_last_value('@schema@.link_key_1'))
                OPERATOR(pg_catalog.||) pg_catalog.convert_to(v_signed, 'SQL_ASCII')
                OPERATOR(pg_catalog.||) pg_catalog.int8send(pg_catalog.pg_sequence_last_value('@schema@.link_key_2')))
