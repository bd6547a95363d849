-- Whether the role su has a superuser's rights, or can take them.
(su.rolsuper OR su.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))
