-- The settings of the link's role, which win over the database's: each one's name and value, whether it takes a superuser, or a role
-- with SET on the parameter; whether the link is refused without it, because nothing would be logged then, or something else than the
-- caller said, or no failure would ever alert; and whether another value stays that a site has given the role. A name that the server
-- doesn't know is ignored, and so is NULL. Each setting makes opening a link a little slower.
(VALUES
    -- with other values, the statements of the logging functions would do something else
    ('array_nulls', 'on', false, true, false),
    ('default_transaction_isolation', 'read committed', false, true, false),
    ('default_transaction_read_only', 'off', false, true, false),
    ('session_replication_role', 'origin', true, true, false),
    -- the caller's settings say how long a call may take
    ('statement_timeout', '0', false, false, false),
    ('transaction_timeout', '0', false, false, false),
    -- all links have one role, so whoever has a link open could read in pg_stat_activity what the others write
    ('track_activities', 'off', true, false, false),
    -- ends a link that is not in use: link_close() leaves it open for that
    ('idle_session_timeout', '10s', false, false, true),
    -- Without a line in the server's log: it would be FATAL. What fails over the link is an error of the caller's, too.
    (CASE WHEN pg_catalog.current_setting('idle_session_timeout', true) IS NOT NULL THEN 'log_min_messages' END,
     'panic', true, false, true)
) AS s(name, value, takes_superuser, is_needed, is_a_choice)
