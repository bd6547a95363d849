-- The statements that drop the triggers of bridges, for those that the current role may not drop because it doesn't own their tables.
-- @function@: the function that the triggers call, as text.
SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
  FROM pg_trigger AS t
 WHERE t.tgfoid = @function@::regprocedure
 ORDER BY 1
