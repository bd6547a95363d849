-- The first time after p_after at which a schedule is due. docs/calendar.rst has the syntax, and what happens when clocks change.
-- Minutes, hours, days of the month, months and weekdays are bit strings, one bit for each value. The day is searched for month by month,
-- and only in months that the schedule allows: at most 41, because the rarest day is a 29 February that is, say, a Sunday, for which one
-- may have to wait 40 years.
CREATE OR REPLACE FUNCTION @schema@.next_run(p_schedule text, p_timezone text, p_after timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    c_blanks   constant text := E' \t\n\r';
    c_digits   constant text := '0123456789';
    c_titles   constant text[] := '{minute,hour,day of month,month,day of week}';
    c_lowest   constant integer[] := '{0,0,1,1,0}';
    c_highest  constant integer[] := '{59,23,31,12,7}';
    c_months   constant text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
    c_weekdays constant text[] := '{sun,mon,tue,wed,thu,fri,sat}';
    -- longer than the largest change of a clock: Samoa once skipped a whole day
    c_window   constant interval := '26 hours';
    v_schedule text := lower(btrim(p_schedule, c_blanks));
    v_wrong    text;
    v_text     text;
    v_fields   text[];
    v_item     text;
    v_ends     text[];
    v_low      integer;
    v_high     integer;
    v_step     integer;
    v_lowest   integer;
    v_highest  integer;
    v_set      bit varying;
    v_minutes  bit varying;
    v_hours    bit varying;
    v_days     bit varying;
    v_months   bit varying;
    v_weekdays bit varying;
    v_last_day boolean := false;
    -- whether a day has to match both fields, day of month and day of week; otherwise, one of them is enough
    v_both     boolean;
    v_any_day  boolean;
    v_wildcard boolean;
    -- an instant; the local time at that instant; and the local time from which on the next match is searched for
    v_base     timestamptz := date_trunc('second', p_after);
    v_shown    timestamp;
    v_from     timestamp;
    v_day      date;
    v_hour     integer;
    v_minute   integer;
    v_found    integer;
    v_month    integer;
    v_first    date;
    v_length   integer;
    v_match    timestamp;
    v_due      timestamptz;
    v_until    timestamptz;
    v_shift    interval;
    v_seconds  integer;
BEGIN
    -- A name without a slash may be an abbreviation, and one with a digit may be a POSIX rule (EST3): PostgreSQL accepts both as zones.
    IF p_timezone <> 'UTC' AND (strpos(p_timezone, '/') = 0 OR translate(p_timezone, '0123456789', '') <> p_timezone)
       AND p_timezone !~ '^Etc/GMT([+-]?0|[+-][1-9]|[+-]1[0-2]|-1[34])$' THEN
        -- only here, because it takes some milliseconds
        v_wrong := check_schedule(NULL, p_timezone);
        IF v_wrong IS NOT NULL THEN
            RAISE EXCEPTION '%', v_wrong USING ERRCODE = 'invalid_parameter_value';
        END IF;
    END IF;

    IF starts_with(v_schedule, '@') THEN
        v_schedule := CASE v_schedule
                          WHEN '@hourly' THEN '0 * * * *'
                          WHEN '@daily' THEN '0 0 * * *'
                          WHEN '@midnight' THEN '0 0 * * *'
                          WHEN '@weekly' THEN '0 0 * * 0'
                          WHEN '@monthly' THEN '0 0 1 * *'
                          WHEN '@yearly' THEN '0 0 1 1 *'
                          WHEN '@annually' THEN '0 0 1 1 *'
                          ELSE v_schedule
                      END;
    END IF;
    v_fields := array_remove(string_to_array(translate(left(v_schedule, 1001), E'\t\n\r', '   '), ' '), '');
    IF cardinality(v_fields) <> 5 OR length(v_schedule) > 1000 THEN
        v_wrong := CASE
            WHEN v_schedule = '' THEN 'is empty: write minute, hour, day of month, month and day of week'
            WHEN length(v_schedule) > 1000 THEN format('has %s characters; 1000 are the limit', length(v_schedule))
            WHEN v_schedule = '@reboot' THEN 'is when a server starts, which nobody can know in advance'
            WHEN starts_with(v_schedule, '@')
            THEN 'is none of @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually'
            ELSE format('has %s of the five fields minute, hour, day of month, month and day of week (no seconds, no years)',
                        cardinality(v_fields))
        END;
        RAISE EXCEPTION 'the schedule "%" %', left(btrim(p_schedule, c_blanks), 100), v_wrong
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    FOR v_field IN 1..5 LOOP
        v_lowest := c_lowest[v_field];
        v_highest := c_highest[v_field];
        IF v_fields[v_field] = '*' THEN
            v_set := repeat('1', v_highest - v_lowest + 1);
        ELSE
            v_set := repeat('0', v_highest - v_lowest + 1);
            FOREACH v_item IN ARRAY string_to_array(v_fields[v_field], ',') LOOP
                IF v_item = 'l' AND v_field = 3 THEN
                    v_last_day := true;
                    CONTINUE;
                END IF;
                v_step := 1;
                IF length(v_item) BETWEEN 1 AND 2 AND ltrim(v_item, c_digits) = '' THEN
                    v_low := v_item;
                    v_high := v_low;
                ELSIF v_item = '*' THEN
                    v_low := v_lowest;
                    v_high := v_highest;
                ELSE
                    v_ends := string_to_array(split_part(v_item, '/', 1), '-');
                    IF v_item LIKE '%/%' THEN
                        v_text := substr(v_item, strpos(v_item, '/') + 1);
                        v_step := CASE WHEN v_text <> '' AND ltrim(v_text, c_digits) = '' THEN least(v_text::numeric, 60) END;
                    END IF;
                    IF v_ends[1] = '*' THEN
                        v_low := v_lowest;
                        v_high := CASE WHEN cardinality(v_ends) = 1 THEN v_highest END;
                    ELSE
                        v_low := CASE WHEN v_ends[1] <> '' AND ltrim(v_ends[1], c_digits) = '' THEN least(v_ends[1]::numeric, 99)
                                      WHEN v_field = 4 THEN array_position(c_months, v_ends[1])
                                      WHEN v_field = 5 THEN array_position(c_weekdays, v_ends[1]) - 1 END;
                        v_high := CASE WHEN v_ends[2] <> '' AND ltrim(v_ends[2], c_digits) = '' THEN least(v_ends[2]::numeric, 99)
                                       WHEN v_field = 4 THEN array_position(c_months, v_ends[2])
                                       WHEN v_field = 5 THEN array_position(c_weekdays, v_ends[2]) - 1 END;
                        IF cardinality(v_ends) = 1 AND v_item NOT LIKE '%/%' THEN
                            v_high := v_low;
                        ELSIF cardinality(v_ends) > 2 THEN
                            v_high := NULL;
                        END IF;
                    END IF;
                END IF;
                IF (v_low >= v_lowest AND v_high >= v_low AND v_high <= v_highest AND v_step > 0) IS NOT TRUE THEN
                    v_wrong := CASE
                        WHEN v_item = '' THEN 'is empty, or begins or ends with a comma, or has two in a row'
                        WHEN v_item = '?' THEN 'isn''t known to cron: write "*"'
                        WHEN strpos(v_item, '#') > 0 THEN 'has a "#" (the nth weekday of a month), which cron doesn''t know'
                        WHEN v_field = 3 AND v_item ~ '^[0-9l]+w$' THEN 'has a "W" (the nearest working day), which cron doesn''t know'
                        WHEN v_item ~ '^[0-9]*l([-/][0-9]+)?$' OR v_item ~ '^[0-9]+-l$' OR v_field > 3 AND v_item ~ '^[a-z]+l$'
                        THEN 'is not supported: the only "L" is a day of month of just "L", the last day'
                        WHEN v_item ~ '^[a-z0-9]+/[0-9]+$'
                        THEN format('has a step, but no range: write "%s-%s/%s"', split_part(v_item, '/', 1),
                                    v_highest, split_part(v_item, '/', 2))
                        WHEN v_low > v_highest OR v_high > v_highest THEN format('is above %s', v_highest)
                        WHEN v_low < v_lowest OR v_high < v_lowest THEN format('is below %s', v_lowest)
                        WHEN v_step = 0 THEN 'has a step of 0'
                        WHEN v_high = 0 AND v_field = 5 THEN format('ends before it begins: write "%s-7"', v_ends[1])
                        WHEN v_low > v_high
                        THEN format('ends before it begins: write "%s-%s,%s-%s"', v_ends[1],
                                    v_highest - (v_field = 5)::integer, v_lowest, v_ends[2])
                        ELSE format('is not a number from %s to %s%s, nor a range of them or "*", with or without a step', v_lowest,
                                    v_highest, CASE v_field WHEN 4 THEN ' or a month''s first three letters'
                                                            WHEN 5 THEN ' or a weekday''s first three letters' END)
                    END;
                    RAISE EXCEPTION 'the schedule "%": % "%" %', left(btrim(p_schedule, c_blanks), 100), c_titles[v_field],
                                    left(CASE v_item WHEN '' THEN v_fields[v_field] ELSE v_item END, 100), v_wrong
                        USING ERRCODE = 'invalid_parameter_value';
                END IF;
                v_set := v_set | rpad(lpad(left(repeat(rpad('1', v_step, '0'), 60 / v_step + 1), v_high - v_low + 1),
                                           v_high - v_lowest + 1, '0'),
                                      v_highest - v_lowest + 1, '0')::bit varying;
            END LOOP;
        END IF;
        CASE v_field
            WHEN 1 THEN v_minutes := v_set;
            WHEN 2 THEN v_hours := v_set;
            WHEN 3 THEN v_days := v_set;
            WHEN 4 THEN v_months := v_set;
            ELSE v_weekdays := v_set;
        END CASE;
    END LOOP;
    v_wildcard := starts_with(v_fields[1], '*') OR starts_with(v_fields[2], '*');
    v_both := starts_with(v_fields[3], '*') OR starts_with(v_fields[5], '*');
    v_any_day := v_fields[3] = '*' AND v_fields[4] = '*' AND v_fields[5] = '*';
    IF NOT v_any_day THEN
        v_found := position(B'1' IN v_days);
        IF v_both AND NOT v_last_day
           AND v_found > (CASE WHEN v_months & B'101010110101' <> B'000000000000' THEN 31
                               WHEN v_months & B'000101001010' <> B'000000000000' THEN 30
                               ELSE 29 END) THEN
            RAISE EXCEPTION 'the schedule "%" never comes: no month of it has a day %', left(btrim(p_schedule, c_blanks), 100), v_found
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        -- 7 is Sunday, too. Repeated for six weeks, which is enough for a month that begins on any weekday.
        v_set := substring(v_weekdays FROM 1 FOR 7) | (substring(v_weekdays FROM 8) || B'000000');
        v_weekdays := v_set || v_set || v_set || v_set || v_set || v_set;
    END IF;

    IF p_after NOT BETWEEN '0001-01-02 00:00+00' AND '9999-12-31 00:00+00' THEN
        RETURN NULL;
    END IF;
    v_shown := v_base AT TIME ZONE p_timezone;
    v_from := date_trunc('minute', v_shown) + interval '1 minute';
    LOOP
        -- The first local time at or after v_from that matches: first the time of day, then the day.
        v_day := v_from::date;
        v_hour := date_part('hour', v_from);
        v_minute := CASE get_bit(v_hours, v_hour)
                        WHEN 1 THEN position(B'1' IN substring(v_minutes FROM date_part('minute', v_from)::integer + 1))
                        ELSE 0 END;
        IF v_minute > 0 THEN
            v_minute := v_minute - 1 + date_part('minute', v_from)::integer;
        ELSE
            v_minute := position(B'1' IN v_minutes) - 1;
            v_found := position(B'1' IN substring(v_hours FROM v_hour + 2));
            IF v_found > 0 THEN
                v_hour := v_hour + v_found;
            ELSE
                v_hour := position(B'1' IN v_hours) - 1;
                v_day := v_day + 1;
            END IF;
        END IF;
        IF NOT v_any_day THEN
            v_month := date_part('month', v_day);
            v_first := date_trunc('month', v_day::timestamp);
            LOOP
                IF get_bit(v_months, v_month - 1) = 1 THEN
                    v_length := (v_first + interval '1 month')::date - v_first;
                    v_set := substring(CASE WHEN v_last_day THEN set_bit(v_days, v_length - 1, 1) ELSE v_days END FROM 1 FOR v_length);
                    IF v_both THEN
                        v_set := v_set & substring(v_weekdays FROM date_part('dow', v_first)::integer + 1 FOR v_length);
                    ELSE
                        v_set := v_set | substring(v_weekdays FROM date_part('dow', v_first)::integer + 1 FOR v_length);
                    END IF;
                    v_found := position(B'1' IN substring(v_set FROM greatest(v_day - v_first, 0) + 1));
                    EXIT WHEN v_found > 0;
                END IF;
                v_found := position(B'1' IN substring(v_months FROM v_month + 1));
                IF v_found > 0 THEN
                    v_first := v_first + make_interval(months => v_found);
                    v_month := v_month + v_found;
                ELSE
                    v_found := position(B'1' IN v_months);
                    v_first := v_first + make_interval(months => 12 - v_month + v_found);
                    v_month := v_found;
                END IF;
            END LOOP;
            v_found := greatest(v_day, v_first) - v_first + v_found - 1;
            IF v_first + v_found > v_from::date THEN
                v_day := v_first + v_found;
                v_hour := position(B'1' IN v_hours) - 1;
                v_minute := position(B'1' IN v_minutes) - 1;
            END IF;
        END IF;
        v_match := v_day + make_interval(hours => v_hour, mins => v_minute);

        -- The instant of that local time. Unless it is returned here, the clock changes between v_base and v_until.
        IF v_wildcard THEN
            IF v_match - v_shown > interval '4 days' THEN
                v_until := v_base + c_window;
                v_shift := (v_until AT TIME ZONE p_timezone) - v_shown - c_window;
                IF v_shift >= interval '0' THEN
                    -- no local time matches until shortly before v_match, so go on from there
                    v_base := (v_match AT TIME ZONE p_timezone) - c_window;
                    v_shown := v_base AT TIME ZONE p_timezone;
                    v_until := NULL;
                END IF;
            ELSE
                v_until := NULL;
            END IF;
            IF v_until IS NULL THEN
                v_until := v_base + (v_match - v_shown);
                IF v_until AT TIME ZONE p_timezone = v_match THEN
                    RETURN v_until;
                END IF;
            END IF;
        ELSE
            -- PostgreSQL returns the second instant of a local time that occurs twice; and for one that is skipped, the instant at which a
            -- clock that had not been changed would show it
            v_due := v_match AT TIME ZONE p_timezone;
            v_shift := (v_due AT TIME ZONE p_timezone) - v_match;
            IF v_shift > interval '0' THEN
                v_base := v_due - v_shift;
                v_until := v_due;
            ELSE
                v_shift := v_match - ((v_due - c_window) AT TIME ZONE p_timezone) - c_window;
                v_base := v_due + v_shift;
                IF v_shift < interval '0' AND v_base AT TIME ZONE p_timezone = v_match THEN
                    v_until := v_due;
                    v_due := v_base;
                END IF;
                IF v_due > p_after THEN
                    RETURN v_due;
                END IF;
            END IF;
        END IF;

        -- The last second before the clock changes.
        v_shift := (v_base AT TIME ZONE p_timezone) - (v_base AT TIME ZONE 'UTC');
        v_seconds := 262144;
        WHILE v_seconds > 0 LOOP
            v_due := v_base + make_interval(secs => v_seconds);
            IF v_due <= v_until AND (v_due AT TIME ZONE p_timezone) - (v_due AT TIME ZONE 'UTC') = v_shift THEN
                v_base := v_due;
            END IF;
            v_seconds := v_seconds / 2;
        END LOOP;
        v_due := v_base + interval '1 second';
        IF v_wildcard THEN
            v_base := v_due;
            v_shown := v_due AT TIME ZONE p_timezone;
            v_from := v_shown;
        ELSIF v_due > p_after THEN
            RETURN v_due;
        ELSE
            v_from := (v_base AT TIME ZONE p_timezone) + interval '1 second';
        END IF;
        IF date_trunc('minute', v_from) < v_from THEN
            v_from := date_trunc('minute', v_from) + interval '1 minute';
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @schema@.next_run(text, text, timestamptz) IS
    'The first time later than p_after at which a schedule is due: five fields as in cron(5), ''L'' for the last day of the month, or '
    '@hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually, in the local time of p_timezone. NULL if an argument is NULL, or '
    'p_after is not in the years 1 to 9999. Raises an error if the schedule or the time zone is invalid; check_schedule() returns the '
    'message of that error instead.';
