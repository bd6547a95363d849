-- Run this once on each server whose job log is to be copied to a central one, as the owner of the job log, in the log's database:
--
--     psql -d DB -v number=1 -f publish.sql
--
-- `number` (1 to 999) has to be different on each server. From now on, the ids of new runs and steps have it as their last three digits,
-- so that no two servers use the same id; only these runs and steps are published. Needs PostgreSQL 15 or newer, wal_level = logical, the
-- job log in the schema `jobmon`, and the right CREATE on the database. Run again with the same number, it changes nothing.
--
-- After a restore, also give the largest ids of this server's runs and steps in the central log, so that they are not used twice:
--
--     psql -d DB -v number=1 -v run=81001 -v step=164001 -f publish.sql
\set ON_ERROR_STOP on
\if :{?number}
\else
    \set number ''
\endif
\if :{?run}
\else
    \set run 0
\endif
\if :{?step}
\else
    \set step 0
\endif
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT set_config('central.number', :'number', true), set_config('central.run', :'run', true),
       set_config('central.step', :'step', true) \g /dev/null
DO $$
DECLARE
    v_number integer;
    v_other  text;
    v_table  record;
    v_used   bigint;
    v_next   bigint;
    v_first  bigint[];
BEGIN
    IF current_setting('central.number') !~ '^[0-9]{1,9}$' THEN
        RAISE EXCEPTION 'say which number this server has: psql -v number=1 -f publish.sql';
    END IF;
    v_number := current_setting('central.number');
    -- what is executed when tables are read is the choice of whoever owns them
    SELECT r.rolname
      INTO v_other
      FROM pg_namespace AS n
      JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname IN ('job_log', 'job_detail')
      JOIN pg_roles AS r ON r.oid IN (n.nspowner, c.relowner)
     WHERE n.nspname = 'jobmon'
       AND NOT r.rolsuper
       AND r.rolname <> current_user
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the job log belongs to role "%", and this is role "%"', v_other, current_user
            USING HINT = format('Connect as that role: psql -U %s', v_other);
    END IF;
    IF current_setting('central.run') !~ '^[0-9]{0,18}$' OR current_setting('central.step') !~ '^[0-9]{0,18}$' THEN
        RAISE EXCEPTION 'run and step are the largest ids of this server''s in the central log: psql -v run=81001 -v step=164001';
    END IF;
    IF v_number NOT BETWEEN 1 AND 999 THEN
        RAISE EXCEPTION 'the number of a server is from 1 to 999, and this is %', v_number;
    ELSIF current_setting('server_version_num')::integer < 150000 THEN
        RAISE EXCEPTION 'a publication of some rows and columns needs PostgreSQL 15 or newer';
    ELSIF current_setting('wal_level') <> 'logical' THEN
        RAISE EXCEPTION 'wal_level is %, and has to be logical: set it in postgresql.conf, and restart the server',
                        current_setting('wal_level');
    END IF;
    SELECT substring(pg_get_expr(r.prqual, r.prrelid), ' = ([0-9]+)')
      INTO v_other
      FROM pg_publication AS p
      JOIN pg_publication_rel AS r ON r.prpubid = p.oid
     WHERE p.pubname = 'jobmon_central'
       AND r.prrelid = 'jobmon.job_log'::regclass;
    IF v_other <> v_number::text THEN
        RAISE EXCEPTION 'this server is published as number % already', v_other
            USING HINT = 'DROP PUBLICATION jobmon_central; first, and the subscription to it.';
    END IF;
    FOR v_table IN SELECT * FROM (VALUES ('job_log', 'job_id', 'run'), ('job_detail', 'step_id', 'step')) AS t(name, id, used) LOOP
        v_used := '0' || current_setting('central.' || v_table.used); -- nothing where the central log has none
        CONTINUE WHEN v_other IS NOT NULL AND v_used = 0;
        -- nobody takes an id while the next one is chosen
        EXECUTE format('LOCK TABLE jobmon.%I IN SHARE ROW EXCLUSIVE MODE', v_table.name);
        EXECUTE format('SELECT greatest(max(%I), pg_sequence_last_value(%L::regclass), %s) FROM jobmon.%I',
                       v_table.id, pg_get_serial_sequence('jobmon.' || v_table.name, v_table.id), v_used, v_table.name)
           INTO v_next;
        v_next := (v_next / 1000 + 1) * 1000 + v_number;
        v_first := v_first || v_next;
        EXECUTE format('ALTER TABLE jobmon.%I ALTER %I SET INCREMENT BY 1000 SET MINVALUE 1 RESTART WITH %s',
                       v_table.name, v_table.id, v_next);
    END LOOP;
    IF v_other IS NOT NULL THEN
        RETURN;
    END IF;
    -- Deletions are not published: the central log keeps its runs as long as its own `jobmonctl clear` lets it.
    EXECUTE format('CREATE PUBLICATION jobmon_central FOR TABLE '
                   'jobmon.job_log (job_id, owner, job_name, start_time, end_time, status, pid) WHERE (job_id %% 1000 = %1$s AND job_id >= %2$s), '
                   'jobmon.job_detail (job_id, step_id, action, start_time, end_time, elapsed_time, status, message) '
                   'WHERE (step_id %% 1000 = %1$s AND step_id >= %3$s) WITH (publish = ''insert, update'', publish_via_partition_root = true)',
                   v_number, v_first[1], v_first[2]);
END
$$;
COMMIT;
