-- Adds the CHECK constraint that spares PostgreSQL from reading the table when it becomes a partition. @table@: the table, @upto@: the
-- partition's end.
DO $$
BEGIN
    LOCK TABLE @schema@.@table@ IN ACCESS EXCLUSIVE MODE;
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = '@schema@.@table@'::regclass) = 'p' THEN
        RAISE wrong_object_type USING MESSAGE = 'partitioned meanwhile';
    END IF;
    ALTER TABLE @schema@.@table@
        DROP CONSTRAINT IF EXISTS @table@_upto,
        ADD CONSTRAINT @table@_upto CHECK (start_time < @upto@) NOT VALID;
END
$$
