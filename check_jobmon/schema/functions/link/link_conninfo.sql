-- How the link connects: as dblink_mapping says; where a column is NULL there, to this server, in the way that bootstrap has found.
-- p_role_here is the role that it connects as, or NULL if dblink_mapping may lead to another server.
CREATE OR REPLACE FUNCTION @schema@.link_conninfo(OUT p_conninfo text, OUT p_role_here text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_socket  text;
    v_listen  text := btrim(split_part(current_setting('listen_addresses'), ',', 1));
    v_host    text;
    v_user    text;
    v_parts   text[];
    v_link    link%ROWTYPE;
    v_mapping dblink_mapping%ROWTYPE;
BEGIN
    SELECT * INTO v_link FROM link;
    SELECT * INTO v_mapping FROM dblink_mapping;
    v_mapping.username := nullif(v_mapping.username, '');
    v_user := coalesce(v_mapping.username, v_link.role_name::text);
    IF v_user IS NULL THEN
        -- In a schema that was restored without data. Without a user name, libpq would use that of the operating system's user who runs
        -- the server, which may be the name of a superuser.
        RAISE EXCEPTION 'it has no role yet' USING ERRCODE = 'invalid_authorization_specification';
    ELSIF v_user !~ '^@schema_name@_link_[0-9]+$'
          AND EXISTS (SELECT
                        FROM pg_roles AS r
                        JOIN pg_roles AS su ON pg_has_role(r.oid, su.oid, 'MEMBER')
                       WHERE r.rolname = v_user
                         AND @connection/powerful.sql@) THEN
        -- a member of pg_write_all_data could have written that name to dblink_mapping, to get a superuser's rights
        RAISE EXCEPTION 'role "%" is a superuser, or could become one', v_user
            USING ERRCODE = 'invalid_authorization_specification';
    END IF;
    BEGIN
        v_socket := btrim(split_part(current_setting('unix_socket_directories'), ',', 1), ' "');
    EXCEPTION WHEN insufficient_privilege THEN
        -- Only members of pg_read_all_settings may see it. Without a host, libpq uses the directory that it was built with.
        v_socket := NULL;
    END;
    IF v_mapping.host IS NOT NULL THEN
        v_host := v_mapping.host;
    ELSIF v_link.over = 'socket' AND v_socket IS DISTINCT FROM '' THEN
        v_host := v_socket;
    ELSIF v_listen = '' THEN
        -- any other program could be listening on this port of 127.0.0.1
        RAISE EXCEPTION 'the server doesn''t listen on TCP (listen_addresses is empty)'
            USING ERRCODE = 'sqlclient_unable_to_establish_sqlconnection';
    ELSE
        v_host := CASE WHEN v_listen IN ('*', '0.0.0.0') THEN '127.0.0.1'
                       WHEN v_listen = '::' THEN '::1'
                       ELSE v_listen
                  END;
    END IF;
    v_parts := ARRAY[
        -- Never send the password in clear: a server that asks for that is not this one, or not set up for the link. This
        -- option is the first, because link_open() removes it from the beginning of the string if libpq doesn't know it.
        ['require_auth', CASE WHEN v_mapping.host IS NOT NULL THEN NULL
                              WHEN v_mapping.username IS NOT NULL THEN '!password'
                              ELSE 'scram-sha-256,none'
                         END],
        ['host', v_host],
        ['port', coalesce(v_mapping.port, current_setting('port'))],
        ['dbname', current_database()],
        ['user', v_user],
        ['password', coalesce(v_mapping.pwd, v_link.password)],
        ['application_name', 'jobmon link of ' || pg_backend_pid()],
        ['connect_timeout', '10'],
        -- If jobmon.keep_link says when the link is closed (see link_close.sql), this server must not end it when it is idle. If the link
        -- leads to another server, the settings there decide that.
        ['options', CASE WHEN v_mapping.host IS NULL AND v_mapping.port IS NULL AND current_setting('jobmon.keep_link', true) <> ''
                              AND current_setting('idle_session_timeout', true) IS NOT NULL
                         THEN '-c idle_session_timeout=0' END]
    ];
    -- libpq's quoting: in single quotes, with a backslash before each quote or backslash. Expressions rather than a query,
    -- because debug_print_plan would show the caller a query's plan with its values. E'' strings, because in other strings
    -- it depends on the caller's settings what a backslash means (standard_conforming_strings), and whether it may precede a
    -- quote (backslash_quote).
    p_conninfo := '';
    FOR i IN 1 .. array_length(v_parts, 1) LOOP
        IF v_parts[i][2] IS NOT NULL THEN
            p_conninfo := p_conninfo || format('%s=''%s'' ', v_parts[i][1],
                                               replace(replace(v_parts[i][2], E'\\', E'\\\\'), '''', E'\\'''));
        END IF;
    END LOOP;
    IF v_mapping.host IS NULL AND v_mapping.port IS NULL THEN
        p_role_here := v_user;
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.link_conninfo() IS
    'Internal: the link''s connection string, with the password. Only the owner may see it.';
