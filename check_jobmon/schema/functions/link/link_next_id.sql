-- The next id for job_log or job_detail that no row has. A sequence can lag behind the rows: after a restore of the data alone, on
-- a promoted logical subscriber, after setval(). Then one session moves it beyond the largest id, and the others wait.
CREATE OR REPLACE FUNCTION @schema@.link_next_id(p_table text, p_column text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_sequence constant regclass := pg_get_serial_sequence('@schema@.' || quote_ident(p_table), p_column);
    v_taken    constant text := format('SELECT EXISTS (SELECT FROM @schema@.%I WHERE %I = $1)', p_table, p_column);
    v_largest  bigint;
    v_is_taken boolean;
    v_id       bigint;
BEGIN
    FOR i IN 1 .. 2 LOOP
        v_id := nextval(v_sequence);
        EXECUTE v_taken INTO v_is_taken USING v_id;
        IF NOT v_is_taken THEN
            RETURN v_id;
        END IF;
        -- This lock conflicts only with itself. The first session that gets it moves the sequence for the sessions that wait.
        LOCK TABLE link IN SHARE UPDATE EXCLUSIVE MODE;
    END LOOP;
    EXECUTE format('SELECT max(%I) FROM @schema@.%I', p_column, p_table) INTO v_largest;
    IF v_largest = 9223372036854775807 THEN
        RAISE EXCEPTION 'a row of @schema_name@.% has the largest possible %, so the next row can''t have a larger one',
                        p_table, p_column
            USING ERRCODE = 'sequence_generator_limit_exceeded',
                  HINT = format('Delete that row, or give it a smaller %s: the logging functions count on from the largest.',
                                p_column);
    END IF;
    -- never backwards: an id that another session has just taken is not in the table yet
    PERFORM setval(v_sequence, greatest(v_largest, pg_sequence_last_value(v_sequence)));
    v_id := nextval(v_sequence);
    EXECUTE v_taken INTO v_is_taken USING v_id;
    IF v_is_taken THEN
        RAISE EXCEPTION 'the sequence % gives only numbers that are already used', v_sequence
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format('ALTER SEQUENCE %s INCREMENT BY 1.', v_sequence);
    END IF;
    RETURN v_id;
END
$$;
COMMENT ON FUNCTION @schema@.link_next_id(text, text) IS
    'Internal: an id for a new row of job_log or job_detail. Moves the sequence if it lags behind the rows.';
