-- What there is of the link's role: the name that it has to have in this database (roles belong to the whole cluster); whether that
-- role exists; whether its name and both halves of the signing key are recorded, which they aren't just after an upgrade, nor in a
-- copy restored from a dump without data; and the link's role of the database that this one was copied from, if it still exists.
SELECT d.name,
       EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = d.name),
       EXISTS (SELECT FROM @schema@.link AS l WHERE l.role_name = d.name)
           AND num_nulls(pg_sequence_last_value('@schema@.link_key_1'), pg_sequence_last_value('@schema@.link_key_2')) = 0,
       (SELECT r.rolname::text FROM @schema@.link AS l JOIN pg_roles AS r ON r.rolname = l.role_name WHERE r.rolname <> d.name)
  FROM (SELECT '@schema_name@_link_' || oid FROM pg_database WHERE datname = current_database()) AS d(name)
