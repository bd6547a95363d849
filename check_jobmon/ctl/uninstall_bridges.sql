-- Removes all bridges, and returns a line for each job of a bridge that could not be dropped. @schema@: the schema.
SELECT r.line
  FROM @schema@.bridge AS b
 CROSS JOIN LATERAL @schema@.bridge_remove(b.name) AS r(line)
 WHERE r.line LIKE 'the job "%" of % is still there%'
