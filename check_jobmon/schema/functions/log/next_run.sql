-- stub
CREATE OR REPLACE FUNCTION @schema@.next_run(p_schedule text, p_timezone text, p_after timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog AS $$
DECLARE f text[] := regexp_split_to_array(p_schedule, ' '); d timestamp;
BEGIN
  d := date_trunc('day', p_after AT TIME ZONE p_timezone) + make_interval(hours => f[2]::int, mins => f[1]::int);
  IF d AT TIME ZONE p_timezone <= p_after THEN d := d + interval '1 day'; END IF;
  RETURN d AT TIME ZONE p_timezone;
END $$;
COMMENT ON FUNCTION @schema@.next_run(text, text, timestamptz) IS 'x';
CREATE OR REPLACE FUNCTION @schema@.check_schedule(p_schedule text, p_timezone text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$ SELECT NULL::text $$;
COMMENT ON FUNCTION @schema@.check_schedule(text, text) IS 'x';
