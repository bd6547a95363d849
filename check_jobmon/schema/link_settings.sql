-- The settings of the link's role, which win over the database's: each one's name and value, whether it takes a superuser, or a role
-- with SET on the parameter, and whether the link is refused without it: then nothing would be logged, or something else than the
-- caller said, or no failure would ever alert. Each setting makes opening a link a little slower.
(VALUES
    -- with other values, the statements of the logging functions would do something else
    ('array_nulls', 'on', false, true),
    ('default_transaction_isolation', 'read committed', false, true),
    ('default_transaction_read_only', 'off', false, true),
    ('session_replication_role', 'origin', true, true),
    -- the caller's settings say how long a call may take
    ('statement_timeout', '0', false, false),
    ('transaction_timeout', '0', false, false),
    -- all links have one role, so whoever has a link open could read in pg_stat_activity what the others write
    ('track_activities', 'off', true, false)
) AS s(name, value, takes_superuser, is_needed)
