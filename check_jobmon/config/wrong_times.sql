-- Those of the schedules and time zones that are wrong, and why. The parameters are their keys in the file, and their texts.
SELECT t.key, t.value, t.wrong
  FROM (SELECT d.key, d.value,
               CASE d.key WHEN 'schedule' THEN @schema@.check_schedule(d.value, 'UTC') ELSE @schema@.check_schedule(NULL, d.value) END AS wrong
          FROM (SELECT DISTINCT key, value FROM unnest(%s::text[], %s::text[]) AS g(key, value)) AS d
        OFFSET 0 -- asks once
       ) AS t
 WHERE t.wrong IS NOT NULL
