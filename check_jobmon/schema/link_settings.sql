-- The settings of the link's role, which override those of the database. name, value; takes_superuser: whether only a superuser, or a role
-- with the right to SET the parameter, can set it; is_needed: whether a link without it is refused, because calls would not be logged, or
-- not as the caller meant, or failures would not alert; is_a_choice: whether bootstrap keeps another value that a site has given the role.
-- Settings that the server doesn't know, or whose name is NULL, are ignored. Each setting makes opening a link a little slower.
(VALUES
    -- with other values, the statements of the logging functions would fail, or have other results
    ('array_nulls', 'on', false, true, false),
    ('default_transaction_isolation', 'read committed', false, true, false),
    ('default_transaction_read_only', 'off', false, true, false),
    ('session_replication_role', 'origin', true, true, false),
    -- the timeouts of the caller's session apply instead
    ('statement_timeout', '0', false, false, false),
    ('transaction_timeout', '0', false, false, false),
    -- All links have the same role, so over one link, the statements of the others could be read in pg_stat_activity.
    ('track_activities', 'off', true, false, false),
    -- ends a link that is not in use, because link_close() usually leaves it open
    ('idle_session_timeout', '10s', false, false, true),
    -- Otherwise, the end of each idle link would be a FATAL line in the server's log. Errors of the link are errors in the caller's
    -- session, too, and logged there.
    (CASE WHEN pg_catalog.current_setting('idle_session_timeout', true) IS NOT NULL THEN 'log_min_messages' END,
     'panic', true, false, true)
) AS s(name, value, takes_superuser, is_needed, is_a_choice)
