-- Run this on the central server, as the owner of the job log there (schema `jobmon`), who needs the right CREATE on the database:
--
--     psql -d DB -f central.sql
--
-- Then, for each server that publish.sql has numbered, insert a row into jobmon_central.server and create a subscription: see
-- docs/guides/central-log.rst. Run this file again after each upgrade of the log (jobmonctl bootstrap).
-- Needs PostgreSQL 16 or newer, where a subscription writes with the rights of the tables' owner and no others.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
CREATE SCHEMA IF NOT EXISTS jobmon_central;
-- whoever owns a part of it could replace the trigger, which subscriptions execute with the rights of the log's owner
DO $$
DECLARE
    v_other record;
BEGIN
    SELECT pg_describe_object(o.class, o.oid, 0) AS what, r.rolname
      INTO v_other
      FROM pg_namespace AS n
     CROSS JOIN LATERAL (SELECT 'pg_namespace'::regclass, n.oid, n.nspowner
                          UNION ALL
                         SELECT 'pg_class'::regclass, c.oid, c.relowner FROM pg_class AS c WHERE c.relnamespace = n.oid
                          UNION ALL
                         SELECT 'pg_proc'::regclass, p.oid, p.proowner FROM pg_proc AS p WHERE p.pronamespace = n.oid
                       ) AS o(class, oid, owner)
      JOIN pg_roles AS r ON r.oid = o.owner
     WHERE n.nspname = 'jobmon_central'
       AND NOT r.rolsuper
       AND r.oid <> (SELECT l.nspowner FROM pg_namespace AS l WHERE l.nspname = 'jobmon')
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% belongs to role "%", not to the owner of the job log', v_other.what, v_other.rolname
            USING HINT = 'Have the schema jobmon_central dropped, and say this again as the owner of the job log.';
    END IF;
END
$$;
COMMENT ON SCHEMA jobmon_central IS 'Which servers'' runs are copied to the job log here, and what is done with a run that comes in.';

CREATE TABLE IF NOT EXISTS jobmon_central.server (
    number       integer PRIMARY KEY CHECK (number BETWEEN 1 AND 999),
    name         text NOT NULL UNIQUE CHECK (name = upper(name) AND name ~ '^\S(.*\S)?$'),
    subscription name NOT NULL UNIQUE
);
COMMENT ON TABLE jobmon_central.server IS 'The servers whose job logs are copied here.';
COMMENT ON COLUMN jobmon_central.server.number IS 'the last three digits of its runs'' and steps'' ids';
COMMENT ON COLUMN jobmon_central.server.name IS 'in upper case: the job ETL of the server WEB1 is called WEB1: ETL here';
COMMENT ON COLUMN jobmon_central.server.subscription IS 'the only subscription that may write its runs';

-- Whoever administers one server could send whatever ids there are: so each row is held to the subscription that it comes from.
CREATE OR REPLACE FUNCTION jobmon_central.arriving() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id     bigint;
    v_was    bigint;
    v_server jobmon_central.server%ROWTYPE;
BEGIN
    SELECT s.*
      INTO v_server
      FROM jobmon_central.server AS s
      JOIN pg_stat_subscription AS w ON w.subname = s.subscription
     WHERE w.pid = pg_backend_pid();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this subscription belongs to no server in jobmon_central.server';
    ELSIF TG_OP = 'TRUNCATE' OR TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% may not delete what is in the central log', v_server.name;
    END IF;
    IF TG_ARGV[0] = 'job_log' THEN
        v_id := NEW.job_id;
        v_was := OLD.job_id;
        IF TG_OP = 'UPDATE' THEN
            IF NEW.start_time <> OLD.start_time AND NEW.job_id = OLD.job_id THEN
                RETURN NULL; -- another run, to which a server that was restored from a backup has given the number again
            END IF;
        END IF;
        NEW.job_name := v_server.name || ': ' || NEW.job_name;
        NEW.pid := -abs(NEW.pid); -- a backend that can't be seen here
    ELSE
        v_id := NEW.step_id;
        v_was := OLD.step_id;
        IF NEW.job_id % 1000 <> v_server.number THEN
            RETURN NULL; -- its run began before publish.sql, so it isn't here
        END IF;
    END IF;
    IF v_id % 1000 <> v_server.number THEN
        RAISE EXCEPTION '% has the number %, and may not write the id %', v_server.name, v_server.number, v_id;
    ELSIF v_was % 1000 <> v_server.number THEN
        RAISE EXCEPTION '% has the number %, and may not write the id %', v_server.name, v_server.number, v_was;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION jobmon_central.arriving() IS
    'Trigger of job_log and job_detail for what a subscription writes: prefixes the job''s name, refuses what isn''t that server''s.';

DO $$
DECLARE
    v_table   text;
    v_trigger record;
    v_own     record;
BEGIN
    IF current_setting('server_version_num')::integer < 160000 THEN
        RAISE EXCEPTION 'the central log needs PostgreSQL 16 or newer';
    END IF;
    FOREACH v_table IN ARRAY ARRAY['job_log', 'job_detail'] LOOP
        -- triggers run in the order of their names: this one is the first
        EXECUTE format('CREATE OR REPLACE TRIGGER "1 arriving" BEFORE INSERT OR UPDATE OR DELETE ON jobmon.%1$I '
                       'FOR EACH ROW EXECUTE FUNCTION jobmon_central.arriving(%1$L)', v_table);
        EXECUTE format('CREATE OR REPLACE TRIGGER "1 arriving truncate" BEFORE TRUNCATE ON jobmon.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION jobmon_central.arriving()', v_table);
        EXECUTE format('ALTER TABLE jobmon.%1$I ENABLE REPLICA TRIGGER "1 arriving", '
                       'ENABLE REPLICA TRIGGER "1 arriving truncate"', v_table);
    END LOOP;
    -- Ids of the runs of here (JOB LOG CLEAR, say) end with 000, as those of no server do: none of them can take the next one.
    FOR v_own IN
        SELECT t.name, t.id, (coalesce(pg_sequence_last_value(s.seqrelid), 0) / 1000 + 1) * 1000 AS next
          FROM (VALUES ('job_log', 'job_id'), ('job_detail', 'step_id')) AS t(name, id)
          JOIN pg_sequence AS s ON s.seqrelid = pg_get_serial_sequence('jobmon.' || t.name, t.id)::regclass
         WHERE s.seqincrement <> 1000
    LOOP
        EXECUTE format('ALTER TABLE jobmon.%I ALTER %I SET INCREMENT BY 1000 SET MINVALUE 1 RESTART WITH %s',
                       v_own.name, v_own.id, v_own.next);
    END LOOP;
    -- the log's own triggers, for what a subscription writes, too
    FOR v_trigger IN
        SELECT t.tgrelid::regclass AS relation, t.tgname AS name
          FROM pg_trigger AS t
         WHERE t.tgrelid IN ('jobmon.job_log'::regclass, 'jobmon.job_detail'::regclass)
           AND NOT t.tgisinternal
           AND t.tgname NOT LIKE '1 arriving%'
           AND t.tgenabled = 'O'
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', v_trigger.relation, v_trigger.name);
    END LOOP;
END
$$;
COMMIT;
