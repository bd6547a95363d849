-- Adds the foreign keys that pg_restore could not add because the dump left out the rows of job_log, but not those that refer
-- to them. Those rows mean nothing without their runs, so they are deleted. Only if a key is missing: adding one waits for every
-- transaction that writes the log.
DO $$
DECLARE
    v_table text;
BEGIN
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
