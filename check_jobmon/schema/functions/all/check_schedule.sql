-- What is wrong with a schedule and its time zone, as a message for the user. Only next_run() knows the syntax of schedules.
CREATE OR REPLACE FUNCTION @schema@.check_schedule(p_schedule text, p_timezone text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_nearest text;
BEGIN
    IF p_timezone <> 'UTC' THEN
        -- PostgreSQL takes CET for an abbreviation, which has a fixed offset: summer time would be ignored
        IF EXISTS (SELECT FROM pg_timezone_abbrevs AS a
                    WHERE a.abbrev = upper(p_timezone) AND (a.utc_offset <> interval '0' OR a.is_dst)) THEN
            RETURN format('time zone "%s" is an abbreviation, whose clock never changes: name a place, such as "Europe/Berlin"',
                          p_timezone);
        END IF;
        IF NOT EXISTS (SELECT FROM pg_timezone_names AS n WHERE lower(n.name) = lower(p_timezone)) THEN
            -- the most similar name, by the pairs of letters that it, or its part after the last slash, shares with p_timezone
            SELECT s.name
              INTO v_nearest
              FROM (SELECT n.name, p.part
                      FROM pg_timezone_names AS n
                     CROSS JOIN LATERAL (VALUES (lower(n.name)), (regexp_replace(lower(n.name), '^.*/', ''))) AS p(part)
                     WHERE n.name !~ '^(posix|right|Etc|SystemV)/') AS s
             CROSS JOIN LATERAL (
                    SELECT count(*) AS shared
                      FROM generate_series(0, length(s.part)) AS i
                     WHERE strpos('^' || lower(left(p_timezone, 100)) || '$', substr('^' || s.part || '$', i + 1, 2)) > 0
                   ) AS c
             ORDER BY c.shared::real / (length(s.part) + length(left(p_timezone, 100)) + 2) DESC, s.name
             LIMIT 1;
            RETURN format('time zone "%s" is not in pg_timezone_names; the nearest one there is "%s"', left(p_timezone, 100), v_nearest);
        END IF;
    END IF;
    IF p_schedule IS NOT NULL THEN
        BEGIN
            PERFORM next_run(p_schedule, 'UTC', '2000-01-01 00:00+00');
        EXCEPTION WHEN invalid_parameter_value THEN
            RETURN SQLERRM;
        END;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.check_schedule(text, text) IS
    'What is wrong with a schedule or with the name of its time zone, in one sentence; NULL if both are valid. Either may be NULL, which '
    'leaves it unchecked.';
