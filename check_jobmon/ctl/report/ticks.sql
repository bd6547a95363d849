-- The times at which the timeline has a line, each with its label, and the end of the night that is dark around it: NULL if no nights
-- are drawn. In seconds since @since@. Parameters: the unit at which the first line is, how far they are apart, and the labels' format.
SELECT extract(epoch FROM t.tick - @since@)::float8,
       to_char(t.tick, %s),
       to_char(t.tick, 'YYYY-MM-DD HH24:MI'),
       extract(epoch FROM date_trunc('day', t.tick) - interval '4 hours' - @since@)::float8,
       extract(epoch FROM date_trunc('day', t.tick) + interval '6 hours' - @since@)::float8
  FROM generate_series(date_trunc(%s, @since@), @until@ + interval '1 day', %s::interval) AS t(tick)
