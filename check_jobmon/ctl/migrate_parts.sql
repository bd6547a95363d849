-- Divides the rows of a table into parts: for each part, the table (or its partition or child) that has the rows, the first block, and the
-- block after the last. Before PostgreSQL 14, a table is one part, because selecting some blocks would read the whole table.
-- @table@: the table.
WITH RECURSIVE part AS (
    SELECT @table@::regclass::oid AS oid
     UNION
    SELECT i.inhrelid FROM part AS p JOIN pg_inherits AS i ON i.inhparent = p.oid
)
SELECT c.oid::regclass::text, b.block, least(b.block + s.step, s.blocks)
  FROM part AS p
  JOIN pg_class AS c ON c.oid = p.oid
 CROSS JOIN LATERAL (SELECT pg_relation_size(c.oid) / current_setting('block_size')::integer) AS r(blocks)
 CROSS JOIN LATERAL (
        SELECT r.blocks, CASE WHEN current_setting('server_version_num')::integer < 140000 THEN r.blocks + 1 ELSE 2000 END
       ) AS s(blocks, step)
 CROSS JOIN generate_series(0, s.blocks - 1, s.step) AS b(block)
 WHERE c.relkind = 'r'
 ORDER BY c.oid, b.block
