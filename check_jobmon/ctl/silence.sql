-- Creates a silence for each pattern, and returns the silence_ids. Parameters: the patterns, the start (NULL: now), the end (NULL: see the
-- next), the duration (NULL: until the next run), the reason, whether the silence ends with the next run.
SELECT @schema@.silence(p.pattern, coalesce(t.ends, t.starts + t.lasts), t.reason, t.starts, t.until_next_run)
  FROM unnest(%s::text[]) AS p(pattern)
 CROSS JOIN (
        SELECT coalesce(g.starts, now()) AS starts, g.ends, g.lasts, g.reason, g.until_next_run
          FROM (SELECT %s::timestamptz, %s::timestamptz, %s::interval, %s::text, %s::boolean) AS g(starts, ends, lasts, reason, until_next_run)
       ) AS t
