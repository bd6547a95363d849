-- Keeps jobs from alerting for a time.
CREATE OR REPLACE FUNCTION @schema@.silence(p_pattern text, p_ends timestamptz, p_reason text, p_starts timestamptz DEFAULT now(),
                                            p_until_next_run boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
SET standard_conforming_strings = on
AS $$
DECLARE
    v_format  constant text := 'YYYY-MM-DD HH24:MI TZ';
    v_ends    timestamptz := p_ends;
    v_problem text;
    v_id      bigint;
BEGIN
    IF p_until_next_run AND p_ends IS NULL THEN
        v_ends := p_starts + interval '90 days';
    END IF;
    v_problem := CASE
        WHEN coalesce(btrim(p_pattern), '') = '' THEN 'a silence needs the name of a job, or a pattern: ''NIGHTLY *'', for example'
        WHEN length(p_pattern) > 500 THEN format('a pattern has at most 500 characters, and this one has %s', length(p_pattern))
        WHEN coalesce(p_reason, '') !~ '\S' THEN 'a silence needs a reason, for those who read later why nothing alerted'
        WHEN length(p_reason) > 2000 THEN format('a reason has at most 2000 characters, and this one has %s', length(p_reason))
        WHEN p_until_next_run IS NULL THEN 'p_until_next_run is NULL: pass true or false'
        WHEN p_starts IS NULL THEN 'a silence needs a start: leave p_starts out to start it now'
        WHEN v_ends IS NULL THEN 'a silence needs an end: say until when, or until the next run'
        WHEN NOT (isfinite(v_ends) AND isfinite(p_starts)) THEN
            format('a silence can''t last from %s until %s: it lasts 90 days at most', p_starts, v_ends)
        WHEN v_ends <= p_starts THEN
            format('the silence would end at %s, but start at %s', to_char(v_ends, v_format), to_char(p_starts, v_format))
        WHEN v_ends <= clock_timestamp() THEN
            format('the silence would have ended at %s, and it is %s now', to_char(v_ends, v_format),
                   to_char(clock_timestamp(), v_format))
        -- subtracted, because the sum could leave the range of a timestamp
        WHEN p_starts < v_ends - interval '90 days' THEN
            format('the silence would last from %s until %s, but 90 days is the maximum', to_char(p_starts, v_format),
                   to_char(v_ends, v_format))
    END;
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION '%', v_problem USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO job_silence (pattern, starts, ends, until_next_run, reason, created, created_by)
    VALUES (p_pattern, p_starts, v_ends, p_until_next_run, p_reason, clock_timestamp(),
            coalesce(nullif(current_setting('role'), 'none'), session_user))
    RETURNING silence_id INTO v_id;
    RETURN v_id;
END
$$;
COMMENT ON FUNCTION @schema@.silence(text, timestamptz, text, timestamptz, boolean) IS
    'Keeps the jobs that the pattern matches (*, ?, [...]; in any letter case) from alerting until p_ends, which is 90 days after '
    'p_starts at most. With p_until_next_run, the silence of each job ends earlier: as soon as a run that began after p_starts has '
    'completed or crashed; p_ends may then be NULL, which means 90 days. p_starts may be in the future. Returns the silence_id.';
-- Only for schemas whose comment says that the start of the run ends the silence, because writing a comment waits for VACUUM and ANALYZE.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute AS a
                WHERE a.attrelid = '@schema@.job_silence'::regclass AND a.attname = 'until_next_run'
                  AND col_description(a.attrelid, a.attnum) = 'the silence also ends for a job when that job''s next run starts') THEN
        COMMENT ON COLUMN @schema@.job_silence.until_next_run IS
            'the silence also ends for a job when a run of it that began after `starts` has completed or crashed';
    END IF;
END
$$;
