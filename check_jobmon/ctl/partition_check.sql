-- Adds the CHECK constraint by which PostgreSQL need not read the table when that becomes a partition. @upto@: the partition's end.
ALTER TABLE @schema@.@table@
    DROP CONSTRAINT IF EXISTS @table@_upto,
    ADD CONSTRAINT @table@_upto CHECK (start_time < @upto@) NOT VALID
