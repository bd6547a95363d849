-- Removes all bridges, and returns in lines which jobs of theirs could not be dropped. @schema@: the schema.
SELECT r.line
  FROM @schema@.bridge AS b
 CROSS JOIN LATERAL @schema@.bridge_remove(b.name) AS r(line)
 WHERE r.line LIKE 'the job "%" of % is still there%'
