-- The indexes, foreign keys and triggers that would slow down copying rows to job_log and job_detail, or change the rows: the statements
-- that drop or disable them, and those that create or enable them again. @schema@: the schema.
SELECT format('DROP INDEX %s', i.indexrelid::regclass), replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
  FROM pg_index AS i
 WHERE i.indrelid IN ('@schema@.job_log'::regclass, '@schema@.job_detail'::regclass)
   AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
 UNION ALL
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
  FROM pg_constraint AS k
 WHERE k.conrelid IN ('@schema@.job_log'::regclass, '@schema@.job_detail'::regclass)
   AND k.contype = 'f'
 UNION ALL
SELECT format('ALTER TABLE %s DISABLE TRIGGER USER', t.name), format('ALTER TABLE %s ENABLE TRIGGER USER', t.name)
  FROM (VALUES ('@schema@.job_log'), ('@schema@.job_detail')) AS t(name)
 ORDER BY 1 DESC
