-- Of the schedules and time zones in a configuration file, those that are invalid, and why. Parameters: two arrays, with the keys of the
-- values in the file (schedule or timezone), and the values.
SELECT t.key, t.value, t.wrong
  FROM (SELECT d.key, d.value,
               CASE d.key WHEN 'schedule' THEN @schema@.check_schedule(d.value, 'UTC') ELSE @schema@.check_schedule(NULL, d.value) END AS wrong
          FROM (SELECT DISTINCT key, value FROM unnest(%s::text[], %s::text[]) AS g(key, value)) AS d
        OFFSET 0 -- so that each value is checked only once
       ) AS t
 WHERE t.wrong IS NOT NULL
