-- Where the link connects: what dblink_mapping says, and for what it leaves open this very server.
CREATE OR REPLACE FUNCTION @schema@.link_conninfo() RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_socket  text := btrim(split_part(current_setting('unix_socket_directories'), ',', 1), ' "');
    v_listen  text := btrim(split_part(current_setting('listen_addresses'), ',', 1));
    v_host    text;
    v_parts   text[];
    v_text    text := '';
    v_link    link%ROWTYPE;
    v_mapping dblink_mapping%ROWTYPE;
BEGIN
    SELECT * INTO v_link FROM link;
    SELECT * INTO v_mapping FROM dblink_mapping;
    v_mapping.username := nullif(v_mapping.username, '');
    IF coalesce(v_mapping.username, v_link.role_name::text) IS NULL THEN
        -- restored from a dump without its data: libpq would log in as the server's own user, who may be a superuser
        RAISE EXCEPTION 'it has no role yet' USING ERRCODE = 'invalid_authorization_specification';
    END IF;
    IF v_link.over = 'socket' AND v_socket <> '' THEN
        v_host := v_socket;
    ELSE
        v_host := CASE WHEN v_listen IN ('', '*', '0.0.0.0') THEN '127.0.0.1'
                       WHEN v_listen = '::' THEN '::1'
                       ELSE v_listen
                  END;
    END IF;
    v_parts := ARRAY[
        ['host', coalesce(v_mapping.host, v_host)],
        ['port', coalesce(v_mapping.port, current_setting('port'))],
        ['dbname', current_database()],
        ['user', coalesce(v_mapping.username, v_link.role_name::text)],
        ['password', coalesce(v_mapping.pwd, v_link.password)],
        ['application_name', 'jobmon link of ' || pg_backend_pid()],
        ['connect_timeout', '10']
    ];
    -- libpq's quoting: in single quotes, with backslash before a quote or a backslash. By expressions and no query: the
    -- plan of a query has its values in it, and debug_print_plan would show it to the caller. And with E, because the
    -- caller chooses what a backslash means without (standard_conforming_strings).
    FOR i IN 1 .. array_length(v_parts, 1) LOOP
        v_text := v_text || format(E'%s=\'%s\' ', v_parts[i][1],
                                   replace(replace(v_parts[i][2], E'\\', E'\\\\'), E'\'', E'\\\''));
    END LOOP;
    RETURN v_text;
END
$$;
COMMENT ON FUNCTION @schema@.link_conninfo() IS
    'Internal: the link''s connection string, secret included. For the owner alone.';
