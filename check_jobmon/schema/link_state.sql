-- What there is of the link's role: the name that is recorded (NULL if none is), the name that it has to have in this database
-- (roles belong to the whole cluster), whether that role exists, and whether both halves of the signing key have been made:
-- they haven't just after an upgrade, nor in a copy restored from a dump without data.
SELECT (SELECT l.role_name::text FROM @schema@.link AS l),
       d.name,
       EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = d.name),
       num_nulls(pg_sequence_last_value('@schema@.link_key_1'), pg_sequence_last_value('@schema@.link_key_2')) = 0
  FROM (SELECT '@schema_name@_link_' || oid FROM pg_database WHERE datname = current_database()) AS d(name)
