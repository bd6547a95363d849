-- What pg_has_role() is asked for: whether a role has another's rights, or may take them by SET ROLE.
CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'USAGE, SET' END
