-- The state of the link's role: the name that it must have in this database (roles belong to the whole cluster); whether that role
-- exists; whether its name and both halves of the signing key are stored in this schema, which they are not immediately after an upgrade,
-- or in a schema that was restored without data; and, if this database is a copy, the link's role of the original, if that still exists.
SELECT d.name,
       EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = d.name),
       EXISTS (SELECT FROM @schema@.link AS l WHERE l.role_name = d.name)
           AND num_nulls(pg_sequence_last_value('@schema@.link_key_1'), pg_sequence_last_value('@schema@.link_key_2')) = 0,
       (SELECT r.rolname::text FROM @schema@.link AS l JOIN pg_roles AS r ON r.rolname = l.role_name WHERE r.rolname <> d.name)
  FROM (SELECT '@schema_name@_link_' || oid FROM pg_database WHERE datname = current_database()) AS d(name)
