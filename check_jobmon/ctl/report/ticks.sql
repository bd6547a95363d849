-- The lines of the timeline: the time of each, its label, the time as text, and the beginning and the end (20:00 and 06:00) of the night in
-- which its day begins. Times are in seconds since @since@. Parameters: the format of the labels; the unit to which date_trunc() rounds the
-- first line; and the interval between two lines.
SELECT extract(epoch FROM t.tick - @since@)::float8,
       to_char(t.tick, %s),
       to_char(t.tick, 'YYYY-MM-DD HH24:MI'),
       extract(epoch FROM date_trunc('day', t.tick) - interval '4 hours' - @since@)::float8,
       extract(epoch FROM date_trunc('day', t.tick) + interval '6 hours' - @since@)::float8
  FROM generate_series(date_trunc(%s, @since@), @until@ + interval '1 day', %s::interval) AS t(tick)
