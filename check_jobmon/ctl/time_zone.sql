-- A time zone by its name in any letter case: the name as the server has it, the present time, and the offset from UTC in seconds.
SELECT z.name, extract(epoch FROM now())::float8, extract(epoch FROM z.utc_offset)::integer
  FROM pg_timezone_names AS z
 WHERE lower(z.name) = lower(%s)
