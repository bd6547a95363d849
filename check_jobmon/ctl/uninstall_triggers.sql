-- The statements that drop the triggers of bridges that the role might not drop itself, because it doesn't own their tables.
-- @function@: the function that they call, as a text.
SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
  FROM pg_trigger AS t
 WHERE t.tgfoid = @function@::regprocedure
 ORDER BY 1
