-- The table that records which of the numbered scripts bootstrap has applied.
CREATE TABLE @schema@.schema_version (
    version integer PRIMARY KEY,
    script  text NOT NULL,
    package text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE @schema@.schema_version IS
    'The scripts that bootstrap has applied. The highest version is the schema''s.';
