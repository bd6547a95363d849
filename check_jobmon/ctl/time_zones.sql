-- The time zones that the server knows, the present time, and their present offsets from UTC in seconds.
SELECT z.name, extract(epoch FROM now())::float8, extract(epoch FROM z.utc_offset)::integer
  FROM pg_timezone_names AS z
