-- What the check compares the names of jobs with, so that the pattern of a silence means what it means for the plugin's -j.

-- The pattern is cut into stars, question marks, sets in brackets, and the texts between them. In a set, ] stands for itself where
-- it is the first character. A bracket that isn't closed stands for itself.
CREATE OR REPLACE FUNCTION @schema@.name_regex(p_pattern text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, @schema@, pg_temp
SET standard_conforming_strings = on
AS $$
SELECT '^' || string_agg(CASE WHEN p.part[1] LIKE '*%' THEN '.*'
                              WHEN p.part[1] = '?' THEN '.'
                              WHEN p.part[1] NOT LIKE '[_%' THEN regexp_replace(p.part[1], '([][\\^$.|?*+(){}-])', '\\\1', 'g')
                              -- nothing, everything: what a set of empty ranges, as z-a, has
                              WHEN s.members = '' THEN '(?!)'
                              WHEN s.members = '!' THEN '.'
                              WHEN s.members LIKE '!%' THEN '[^' || substr(s.members, 2) || ']'
                              ELSE '[' || s.members || ']'
                         END, '' ORDER BY p.number) || '$'
  FROM regexp_matches(p_pattern, '\*+|\[(?:!?\][^]]*|![^]]+|[^]!][^]]*)\]|[^*?[]+|.', 'g') WITH ORDINALITY AS p(part, number)
 CROSS JOIN LATERAL (
        SELECT CASE WHEN p.part[1] LIKE '[!%' THEN '!' ELSE '' END
               || coalesce(string_agg(CASE WHEN m.member[1] COLLATE "C" > m.member[2] COLLATE "C" THEN ''
                                           ELSE regexp_replace(coalesce(m.member[1], m.member[3]), '([][\\^-])', '\\\1')
                                                || coalesce('-' || regexp_replace(m.member[2], '([][\\^-])', '\\\1'), '')
                                      END, '' ORDER BY m.number), '') AS members
          FROM regexp_matches(substring(p.part[1] FROM '^\[!?(.*)\]$'), '(.)-(.)|(.)', 'g') WITH ORDINALITY AS m(member, number)
       ) AS s
$$;
COMMENT ON FUNCTION @schema@.name_regex(text) IS
    'Internal: a shell pattern with brackets as a regular expression; it matches what Python''s fnmatch would.';

CREATE OR REPLACE FUNCTION @schema@.job_silence_names() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
SET standard_conforming_strings = on
AS $$
BEGIN
    NEW.pattern := upper(NEW.pattern);
    NEW.name_regex := CASE WHEN NEW.pattern LIKE '%[%' THEN name_regex(NEW.pattern) END;
    -- LIKE is much faster: the check tries the regular expression only where this matches
    NEW.name_like := CASE WHEN NEW.pattern ~ '[[*?]'
                          THEN translate(regexp_replace(regexp_replace(NEW.pattern, '\[(?:!?\][^]]*|![^]]+|[^]!][^]]*)\]', '?', 'g'),
                                                        '([\\%_])', '\\\1', 'g'), '*?', '%_') END;
    -- an expression that PostgreSQL refuses is refused here, so that the check never meets one
    PERFORM '' ~ NEW.name_regex;
    RETURN NEW;
EXCEPTION WHEN invalid_regular_expression THEN
    RAISE EXCEPTION 'the brackets of the pattern "%" are more than PostgreSQL can search for (%)', NEW.pattern, SQLERRM
        USING ERRCODE = 'invalid_parameter_value', HINT = 'Write ? for any character instead, or give several patterns.';
END
$$;
COMMENT ON FUNCTION @schema@.job_silence_names() IS
    'Trigger of job_silence: writes the pattern in upper case, as add_job() writes names, and in the form that the check compares.';
