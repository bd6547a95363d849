-- Ends a silence before its time.
CREATE OR REPLACE FUNCTION @schema@.unsilence(p_silence_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    UPDATE job_silence
       SET ended = clock_timestamp(),
           ended_by = coalesce(nullif(current_setting('role'), 'none'), session_user)
     WHERE silence_id = p_silence_id
       AND ended IS NULL
       AND ends > clock_timestamp();
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @schema@.unsilence(bigint) IS
    'Ends a silence that is in force or planned; its row stays. Returns false if no silence has this silence_id, or if it is already '
    'over.';
