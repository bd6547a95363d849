-- Begins and ends a bridge: from then on bridge_run(), which a job of that scheduler calls each minute, copies its jobs and runs.

CREATE OR REPLACE FUNCTION @schema@.bridge_check(p_name text, p_calls boolean) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_version text := (SELECT format(' (extension %s %s)', e.extname, e.extversion) FROM pg_extension AS e WHERE e.extname = p_name);
    v_table   record;
    v_what    text;
    v_owner   text;
BEGIN
    FOR v_table IN
        SELECT n.key AS name, c.oid, r.rolname,
               c.relkind IN ('r', 'p') AND (r.rolsuper OR r.rolname = current_user) AS is_trusted,
               (SELECT string_agg(w.name, ', ' ORDER BY w.place)
                  FROM jsonb_array_elements_text(n.value) WITH ORDINALITY AS w(name, place)
                 WHERE NOT EXISTS (SELECT FROM pg_attribute AS a
                                    WHERE a.attrelid = c.oid AND a.attname = w.name AND NOT a.attisdropped)) AS lacking,
               (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum)
                  FROM pg_attribute AS a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS found
          FROM (SELECT k.needs FROM bridge_known() AS k WHERE k.name = p_name) AS k
         CROSS JOIN jsonb_each(k.needs) AS n
          LEFT JOIN pg_namespace AS s ON s.nspname = split_part(n.key, '.', 1)
          LEFT JOIN pg_class AS c ON c.relnamespace = s.oid AND c.relname = split_part(n.key, '.', 2)
          LEFT JOIN pg_roles AS r ON r.oid = c.relowner
         ORDER BY n.key
    LOOP
        IF v_table.oid IS NULL THEN
            RAISE EXCEPTION '%', CASE WHEN v_version IS NULL
                                      THEN format('database "%s" lacks the extension %s: there is no table %s', current_database(), p_name,
                                                  v_table.name)
                                      ELSE format('%s in database "%s" is incomplete%s: there is no table %s', p_name, current_database(),
                                                  v_version, v_table.name) END
                USING ERRCODE = 'undefined_object',
                      HINT = CASE WHEN v_version IS NULL
                                  THEN format('Name the database that has %s with -d, or have a superuser run CREATE EXTENSION %s.', p_name,
                                              p_name)
                                  ELSE format('Upgrade it (ALTER EXTENSION %s UPDATE), or restore that table.', p_name) END;
        ELSIF NOT v_table.is_trusted THEN
            -- whoever owns it could execute any SQL in the name of this schema's owner
            RAISE EXCEPTION '% in database "%" is not a table of a superuser''s: it belongs to role "%"',
                            v_table.name, current_database(), v_table.rolname
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format('Have a superuser create the extension %s.', p_name);
        ELSIF v_table.lacking IS NOT NULL THEN
            RAISE EXCEPTION 'table % is of a version that the bridge doesn''t know%: it lacks %, and has %',
                            v_table.name, coalesce(v_version, ''), v_table.lacking, v_table.found
                USING ERRCODE = 'feature_not_supported',
                      HINT = format('Upgrade the older of the two: %s (ALTER EXTENSION %s UPDATE) or check_jobmon.', p_name, p_name);
        END IF;
    END LOOP;
    IF NOT p_calls THEN
        RETURN;
    END IF;
    -- A function of another role's could be taken for one of the scheduler's, or be a trigger there: it would be executed in the name
    -- of this schema's owner.
    SELECT o.what, coalesce(r.rolname, 'PUBLIC')
      INTO v_what, v_owner
      FROM bridge_known() AS k
      JOIN pg_namespace AS n ON n.nspname IN (SELECT split_part(t.name, '.', 1) FROM jsonb_object_keys(k.needs) AS t(name))
     CROSS JOIN LATERAL (
            SELECT format('schema %s', n.nspname) AS what, n.nspowner AS owner
             UNION ALL
            SELECT format('the right to create in schema %s', n.nspname), a.grantee
              FROM aclexplode(n.nspacl) AS a
             WHERE a.privilege_type = 'CREATE'
             UNION ALL
            SELECT format('function %s', p.oid::regprocedure), p.proowner FROM pg_proc AS p WHERE p.pronamespace = n.oid
             UNION ALL
            SELECT format('relation %s', c.oid::regclass), c.relowner FROM pg_class AS c WHERE c.relnamespace = n.oid
             UNION ALL
            SELECT format('trigger %I on %s', g.tgname, c.oid::regclass), p.proowner
              FROM pg_class AS c
              JOIN pg_trigger AS g ON g.tgrelid = c.oid
              JOIN pg_proc AS p ON p.oid = g.tgfoid
             WHERE c.relnamespace = n.oid
               -- the bridge of another log has one for DELETE and TRUNCATE, and neither for INSERT (4) nor for UPDATE (16)
               AND (g.tgtype & 20 <> 0 OR NOT c.oid::regclass::text = ANY (k.purged))
           ) AS o
      LEFT JOIN pg_roles AS r ON r.oid = o.owner
     WHERE k.name = p_name
       AND NOT coalesce(r.rolsuper OR r.rolname = current_user, false)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% in database "%" belongs to role "%", whose functions role "%" could execute instead of, or besides, those of %',
                        v_what, current_database(), v_owner, current_user, p_name
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Have a superuser take it away: REVOKE it, or DROP it.';
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_check(text, boolean) IS
    'Internal: refuses a scheduler whose tables are not there, have other columns than those that the bridge reads, or are not a '
    'superuser''s. p_calls: and one in whose schema others have anything, or may create it, because functions there are to be called.';

CREATE OR REPLACE FUNCTION @schema@.bridge_triggers(p_name text) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_table text;
BEGIN
    -- a dump leaves out the triggers on an extension's tables
    FOR v_table IN
        SELECT p.name
          FROM (SELECT unnest(k.purged) FROM bridge_known() AS k WHERE k.name = p_name) AS p(name)
         WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = p.name::regclass AND t.tgname = '@schema_name@_bridge')
    LOOP
        BEGIN
            EXECUTE format('CREATE TRIGGER %I BEFORE DELETE OR TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION bridge_purge(%L)',
                           '@schema_name@_bridge', v_table, p_name);
        EXCEPTION WHEN insufficient_privilege THEN
            -- Not GRANT TRIGGER: pg_cron writes there as a superuser, and so would execute whatever trigger the role creates.
            RETURN NEXT format('role "%s" may not create a trigger on %s, so runs that are deleted there within a minute of their end are '
                               'not logged: if all who delete there trust that role, have a superuser run CREATE TRIGGER %I BEFORE DELETE '
                               'OR TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION @schema@.bridge_purge(%L)',
                               current_user, v_table, '@schema_name@_bridge', v_table, p_name);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_triggers(text) IS
    'Internal: creates the triggers that call bridge_purge(), where they are missing. Returns in lines those that it may not create.';

CREATE OR REPLACE FUNCTION @schema@.bridge_begin(p_name text, p_defaults jsonb DEFAULT NULL) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
SET row_security = off
SET intervalstyle = 'postgres'
AS $$
DECLARE
    v_bridge bridge;
    v_known  record;
    v_newest bigint;
    v_own    text := upper('@schema_name@ bridge ' || p_name);
    v_usual  jsonb := '{"warn_threshold": "10 minutes", "error_threshold": "1 hour"}';
BEGIN
    SELECT * INTO v_known FROM bridge_known() AS k WHERE k.name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no bridge "%", only %', left(p_name, 100),
                        (SELECT string_agg(k.name, ', ' ORDER BY k.name) FROM bridge_known() AS k)
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF (p_defaults ->> 'warn_threshold')::interval < '5 minutes' OR (p_defaults ->> 'error_threshold')::interval < '5 minutes' THEN
        RAISE EXCEPTION 'a job can''t be missing before it is 5 minutes late: its runs are logged up to a minute after their end'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the defaults longer times for warn and error.';
    END IF;
    PERFORM bridge_check(p_name, true);
    -- a second call waits here for the first
    INSERT INTO bridge (name, bridged, defaults) VALUES (p_name, now(), v_usual) ON CONFLICT (name) DO NOTHING;
    SELECT * INTO v_bridge FROM bridge AS b WHERE b.name = p_name FOR UPDATE;
    BEGIN
        EXECUTE format('SELECT bridge_%s_job(true)', p_name) INTO v_bridge.own_key;
        UPDATE bridge AS b
           SET own_key = v_bridge.own_key,
               defaults = v_usual || coalesce(p_defaults, b.defaults, '{}')
         WHERE b.name = p_name;
        IF v_bridge.mark IS NULL THEN
            EXECUTE format('SELECT coalesce(max(%I), 0) FROM %s', v_known.run_key, v_known.run_table) INTO v_newest;
            -- Of the runs so far, those under way are logged when they end.
            EXECUTE format('INSERT INTO bridge_logged (bridge, run_key, seen)'
                           ' SELECT $1, r.run_key, now() FROM bridge_%s_runs($2, ''{}'') AS r WHERE r.code IS NOT NULL', p_name)
              USING p_name, greatest(v_newest - 10000, 0);
            UPDATE bridge AS b
               SET mark = greatest(v_newest - 10000, 0), since = '-infinity', last_read = now(), looked = clock_timestamp()
             WHERE b.name = p_name;
        END IF;
        -- the job that all of the bridge's jobs depend on
        INSERT INTO job_check_config (job_name, warn_threshold, error_threshold, active, schedule, timezone, description)
        VALUES (v_own, '3 minutes', '3 minutes', true, '* * * * *', 'UTC',
                format('Copies the jobs and runs of %s into this log. If it is missing, %s doesn''t work, or this job in it fails.',
                       p_name, p_name))
            ON CONFLICT (job_name) DO NOTHING;
        RETURN QUERY SELECT * FROM bridge_follow(p_name);
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'role "%" may not use all of %: %; nothing was bridged', current_user, p_name, SQLERRM
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('The schema''s owner has to see the jobs of all roles: have a superuser run ' || v_known.rights, current_user);
              WHEN syntax_error_or_access_rule_violation THEN
        -- it lacks a function, or has a column of another type
        RAISE EXCEPTION '% is of a version that the bridge doesn''t know: %; nothing was bridged', p_name, SQLERRM
            USING ERRCODE = 'feature_not_supported',
                  HINT = format('Upgrade the older of the two: %s (ALTER EXTENSION %s UPDATE) or check_jobmon.', p_name, p_name);
    END;
    RETURN QUERY SELECT * FROM bridge_triggers(p_name);
    RETURN NEXT format('%s %s: %s; job "%s" of this log says whether the bridge works',
                       p_name, CASE WHEN v_bridge.mark IS NULL THEN 'is bridged now' ELSE 'is bridged' END,
                       (SELECT format('%s %s, %s of them configured by the bridge', count(*), CASE count(*) WHEN 1 THEN 'job' ELSE 'jobs' END,
                                      count(j.written))
                          FROM bridge_job AS j
                         WHERE j.bridge = p_name AND j.gone IS NULL), v_own);
END
$$;
COMMENT ON FUNCTION @schema@.bridge_begin(text, jsonb) IS
    'Begins to copy the jobs and runs of another scheduler in this database into the log, or brings that up to date, and returns in '
    'lines what it did. p_defaults: what the jobs'' rows of job_check_config have, by column. See jobmonctl bridge.';

CREATE OR REPLACE FUNCTION @schema@.bridge_remove(p_name text) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
SET row_security = off
SET intervalstyle = 'postgres'
AS $$
DECLARE
    v_known  record;
    v_table  text;
    v_rows   bigint;
BEGIN
    SELECT * INTO v_known FROM bridge_known() AS k WHERE k.name = p_name;
    BEGIN
        PERFORM bridge_copy(p_name, true);
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- the bridge is removed even if its runs can't be read any more
    END;
    -- waits for the end of a copy that is under way
    DELETE FROM bridge AS b WHERE b.name = p_name;
    IF NOT FOUND THEN
        RETURN NEXT format('%s is not bridged', left(p_name, 100));
        RETURN;
    END IF;
    -- the extension may be gone, and without it all that is left there
    IF EXISTS (SELECT FROM pg_class AS c
                 JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE format('%s.%s', n.nspname, c.relname) = v_known.run_table)
    THEN
        BEGIN
            PERFORM bridge_check(p_name, true);
            EXECUTE format('SELECT bridge_%s_job(false)', p_name);
        EXCEPTION
        WHEN transaction_rollback OR lock_not_available THEN
            RAISE;
        WHEN OTHERS THEN
            RETURN NEXT format('the job "@schema_name@ bridge" of %s is still there, and fails from now on: %s: have a superuser drop it',
                               p_name, SQLERRM);
        END;
        FOR v_table IN
            SELECT t.tgrelid::regclass
              FROM pg_trigger AS t
              JOIN pg_class AS c ON c.oid = t.tgrelid
              JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE t.tgname = '@schema_name@_bridge'
               AND format('%s.%s', n.nspname, c.relname) = ANY (v_known.purged)
        LOOP
            BEGIN
                EXECUTE format('DROP TRIGGER %I ON %s', '@schema_name@_bridge', v_table);
            EXCEPTION WHEN insufficient_privilege THEN
                RETURN NEXT format('a trigger of the bridge is still there, and does nothing from now on: %s: have a superuser run '
                                   'DROP TRIGGER %I ON %s', SQLERRM, '@schema_name@_bridge', v_table);
            END;
        END LOOP;
    END IF;
    -- How these end will not be known. If the bridge is made again, it logs them when they end.
    DELETE FROM job_log AS l
          USING bridge_logged AS g
          WHERE g.bridge = p_name AND g.job_id = l.job_id AND l.end_time IS NULL;
    DELETE FROM job_check_config AS c
          USING bridge_job AS j
          WHERE j.bridge = p_name AND j.job_name = c.job_name AND to_jsonb(c) @> j.written;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    DELETE FROM job_check_config AS c WHERE c.job_name = upper('@schema_name@ bridge ' || p_name);
    DELETE FROM bridge_job AS j WHERE j.bridge = p_name;
    DELETE FROM bridge_logged AS l WHERE l.bridge = p_name;
    RETURN NEXT format('%s is no longer bridged: removed its configuration of %s %s; the logged runs stay', p_name, v_rows,
                       CASE v_rows WHEN 1 THEN 'job' ELSE 'jobs' END);
END
$$;
COMMENT ON FUNCTION @schema@.bridge_remove(text) IS 'Undoes bridge_begin(), and returns in lines what it did. The logged runs stay.';

CREATE OR REPLACE FUNCTION @schema@.bridge_purge() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
-- a role that deletes runs in an open transaction keeps the bridge's row locked, and others are not to wait for ever
SET lock_timeout = '1min'
AS $$
BEGIN
    IF EXISTS (SELECT FROM bridge AS b WHERE b.name = TG_ARGV[0]) THEN
        PERFORM bridge_copy(TG_ARGV[0], true);
    END IF;
    RETURN NULL;
EXCEPTION
WHEN transaction_rollback THEN
    -- another snapshot, or a deadlock: the purge succeeds if it is run again, and these runs would be lost
    RAISE;
WHEN OTHERS THEN
    -- no site's purge is to fail for another reason
    RAISE WARNING '@schema_name@: the runs of % that are being deleted are not logged: %', TG_ARGV[0], SQLERRM;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_purge() IS
    'Trigger of the tables that schedulers write their runs to: logs what is not logged yet before rows are deleted.';

CREATE OR REPLACE FUNCTION @schema@.bridges() RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT CASE WHEN b.name IS NULL THEN format('%s is not bridged', k.name)
                ELSE format('%s has been bridged since %s: %s, last read at %s', k.name, to_char(b.bridged, 'YYYY-MM-DD HH24:MI TZ'),
                            (SELECT format('%s %s', count(*), CASE count(*) WHEN 1 THEN 'job' ELSE 'jobs' END)
                               FROM bridge_job AS j WHERE j.bridge = b.name AND j.gone IS NULL),
                            to_char(b.last_read, 'YYYY-MM-DD HH24:MI TZ'))
           END
      FROM bridge_known() AS k
      LEFT JOIN bridge AS b ON b.name = k.name
     ORDER BY k.name;
END
$$;
COMMENT ON FUNCTION @schema@.bridges() IS 'In a line for each scheduler that jobmonctl bridge knows, whether it is bridged.';
