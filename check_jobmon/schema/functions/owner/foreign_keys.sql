-- Adds the foreign keys that pg_restore could not add because the dump left out the rows of job_log, but not those that refer
-- to them. Those rows mean nothing without their runs, so they are deleted. Only if a key is missing: adding one waits for every
-- transaction that writes the log. Where job_log is partitioned, triggers do what these keys and the primary keys would.
CREATE OR REPLACE FUNCTION @schema@.job_log_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    -- an UPDATE of start_time has moved the run to another partition
    IF EXISTS (SELECT FROM job_log WHERE job_id = OLD.job_id) THEN
        RETURN NULL;
    END IF;
    DELETE FROM job_detail WHERE job_id = OLD.job_id;
    DELETE FROM past_run WHERE job_id = OLD.job_id;
    DELETE FROM cancelled_job WHERE job_id = OLD.job_id;
    DELETE FROM job_lock WHERE job_id = OLD.job_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.job_log_deleted() IS
    'Trigger of job_log where that is partitioned: deletes what refers to a run, as foreign keys do elsewhere.';

-- Looking for a job_id in all partitions takes as long as the rest of an INSERT. The link takes each job_id from the sequence, so it only
-- has to verify, once a minute, that the sequence is ahead of all rows. If a job_id is given twice within that minute, both runs are
-- usually in the same partition, whose primary key refuses the second one. The link keeps in a setting that it has verified this
-- in the current minute. A session that has a link open can set anything on it, so the setting is a signature, which only our functions
-- can make.
CREATE OR REPLACE FUNCTION @schema@.job_log_new_id() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_signed  constant text := format('run_ids %s %s', pg_backend_pid(), floor(date_part('epoch', CURRENT_TIMESTAMP) / 60));
    v_largest bigint;
BEGIN
    IF starts_with(session_user, '@schema_name@_link_')
       AND current_setting('@schema_name@.run_ids', true) = encode(@schema/signature.sql@, 'hex') THEN
        RETURN NEW;
    END IF;
    SELECT max(job_id) INTO v_largest FROM job_log;
    IF (NEW.job_id <= v_largest) IS NOT TRUE THEN
        PERFORM set_config('@schema_name@.run_ids', encode(@schema/signature.sql@, 'hex'), false);
    ELSIF EXISTS (SELECT FROM job_log WHERE job_id = NEW.job_id) THEN
        RAISE unique_violation USING MESSAGE = format('job_id %s is another run''s already', NEW.job_id);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @schema@.job_log_new_id() IS
    'Trigger of job_log where that is partitioned: refuses a job_id that a run of any partition has.';

-- The run is locked as a foreign key would, so that job_log_clear() leaves it alone; link_serve() has locked it already where the
-- link writes. A step without a run is not refused: a restore of the data alone writes the steps first.
CREATE OR REPLACE FUNCTION @schema@.job_detail_new_id() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_day     constant timestamptz := NEW.start_time - interval '1 day';
    v_signed  constant text := format('step_ids %s %s', pg_backend_pid(), floor(date_part('epoch', CURRENT_TIMESTAMP) / 60));
    v_largest bigint;
BEGIN
    IF starts_with(session_user, '@schema_name@_link_')
       AND current_setting('@schema_name@.step_ids', true) = encode(@schema/signature.sql@, 'hex') THEN
        RETURN NEW;
    END IF;
    PERFORM FROM job_log WHERE job_id = NEW.job_id AND start_time BETWEEN v_day AND NEW.start_time FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM FROM job_log WHERE job_id = NEW.job_id FOR KEY SHARE;
    END IF;
    SELECT max(step_id) INTO v_largest FROM job_detail;
    IF (NEW.step_id <= v_largest) IS NOT TRUE THEN
        PERFORM set_config('@schema_name@.step_ids', encode(@schema/signature.sql@, 'hex'), false);
    ELSIF EXISTS (SELECT FROM job_detail WHERE step_id = NEW.step_id) THEN
        RAISE unique_violation USING MESSAGE = format('step_id %s is another step''s already', NEW.step_id);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @schema@.job_detail_new_id() IS
    'Trigger of job_detail where that is partitioned: refuses a step_id that a step of any partition has, and locks the run.';

DO $$
DECLARE
    v_table text;
BEGIN
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = '@schema@.job_log'::regclass) = 'p' THEN
        RETURN;
    END IF;
    FOREACH v_table IN ARRAY ARRAY['cancelled_job', 'job_lock', 'past_run'] LOOP
        IF NOT EXISTS (SELECT FROM pg_constraint
                        WHERE conrelid = ('@schema@.' || v_table)::regclass AND conname = v_table || '_job_id_fkey') THEN
            EXECUTE format('DELETE FROM @schema@.%I AS t'
                           ' WHERE NOT EXISTS (SELECT FROM @schema@.job_log AS l WHERE l.job_id = t.job_id)', v_table);
            EXECUTE format('ALTER TABLE @schema@.%I ADD FOREIGN KEY (job_id) REFERENCES @schema@.job_log ON DELETE CASCADE',
                           v_table);
        END IF;
    END LOOP;
END
$$;
