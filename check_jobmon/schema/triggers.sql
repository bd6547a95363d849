-- Creates the triggers that are missing, and no others: creating one waits for every transaction that writes the table. What each
-- is for is in the comment of its function.
DO $$
DECLARE
    v_create text;
BEGIN
    FOR v_create IN
        SELECT format('CREATE TRIGGER %I %s ON %s %s EXECUTE FUNCTION @schema@.%I()', t.name, t.event, c.oid::regclass, t.each, t.function)
          FROM (VALUES
                ('job_check_config', 'job_check_config_due', 'BEFORE INSERT OR UPDATE', 'FOR EACH ROW', 'job_check_config_due', false),
                ('job_check_config', 'job_check_config_runs', 'AFTER INSERT OR UPDATE', 'FOR EACH ROW', 'job_check_config_runs', false),
                ('job_log', 'job_log_due', 'BEFORE INSERT OR UPDATE OF job_name, start_time', 'FOR EACH ROW', 'job_log_due', false),
                -- two triggers, so that their conditions are short: PostgreSQL parses them again for each statement
                ('job_log', 'job_log_ended', 'AFTER UPDATE OF status', 'FOR EACH ROW', 'job_log_alert', false),
                ('job_log', 'job_log_added', 'AFTER INSERT', 'FOR EACH ROW WHEN (NEW.status IS NOT NULL)', 'job_log_alert', false),
                ('job_silence', 'job_silence_names', 'BEFORE INSERT OR UPDATE', 'FOR EACH ROW', 'job_silence_names', false),
                ('job_status_text', 'job_status_text_renamed', 'AFTER UPDATE',
                 'REFERENCING OLD TABLE AS old_words NEW TABLE AS new_words FOR EACH STATEMENT', 'job_status_text_renamed', false),
                -- where the tables are partitioned
                ('job_log', 'job_log_deleted', 'AFTER DELETE', 'FOR EACH ROW', 'job_log_deleted', true),
                ('job_log', 'job_log_new_id', 'BEFORE INSERT', 'FOR EACH ROW', 'job_log_new_id', true),
                ('job_detail', 'job_detail_new_id', 'BEFORE INSERT', 'FOR EACH ROW', 'job_detail_new_id', true)
               ) AS t(home, name, event, each, function, of_partitions)
          JOIN pg_class AS c ON c.oid = ('@schema@.' || t.home)::regclass AND (c.relkind = 'p' OR NOT t.of_partitions)
         WHERE NOT EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgrelid = c.oid AND g.tgname = t.name)
    LOOP
        EXECUTE v_create;
    END LOOP;
    -- in every session_replication_role; the restore of a dump that was made with --disable-triggers ends that
    IF NOT EXISTS (SELECT FROM pg_trigger
                    WHERE tgrelid = '@schema@.job_silence'::regclass AND tgname = 'job_silence_names' AND tgenabled = 'A') THEN
        ALTER TABLE @schema@.job_silence ENABLE ALWAYS TRIGGER job_silence_names;
    END IF;
END
$$;
