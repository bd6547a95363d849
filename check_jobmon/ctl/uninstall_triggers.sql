-- The statements that drop the triggers of bridges, for those that the current role may not drop because it doesn't own their tables.
-- The parameter is the function that they call.
SELECT format('DROP TRIGGER %%I ON %%s', t.tgname, t.tgrelid::regclass)
  FROM pg_trigger AS t
 WHERE t.tgfoid = %s::regprocedure
 ORDER BY 1
