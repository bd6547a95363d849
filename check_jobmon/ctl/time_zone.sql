-- Looks up a time zone. Parameter: its name in any letter case. Returns the name as the server spells it, the current time in seconds since
-- 1970, and the zone's offset from UTC in seconds.
SELECT z.name, extract(epoch FROM now())::float8, extract(epoch FROM z.utc_offset)::integer
  FROM pg_timezone_names AS z
 WHERE lower(z.name) = lower(%s)
