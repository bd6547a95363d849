-- Trigger of job_log: keeps job_check_log.
CREATE OR REPLACE FUNCTION @schema@.job_log_alert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_alert_code integer := (SELECT t.alert_code FROM job_status_text AS t WHERE t.alert_text = NEW.status);
BEGIN
    IF v_alert_code = 1 THEN
        DELETE FROM job_check_log WHERE job_name = NEW.job_name;
    ELSIF v_alert_code IN (2, 3) THEN
        -- a run that is failed twice has failed once
        DELETE FROM job_check_log WHERE job_id = NEW.job_id;
        INSERT INTO job_check_log (job_id, job_name, alert_code) VALUES (NEW.job_id, NEW.job_name, v_alert_code);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.job_log_alert() IS
    'Trigger of job_log: a failing status adds the run to job_check_log, a success clears the job''s rows there.';

-- Only where it is missing: creating a trigger waits for every transaction that writes the log.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger
                    WHERE tgrelid = '@schema@.job_log'::regclass AND tgname = 'job_log_alert') THEN
        CREATE TRIGGER job_log_alert
            AFTER INSERT OR UPDATE OF status ON @schema@.job_log
            FOR EACH ROW
            -- not when job_status_text_renamed() rewrites the history: nothing has failed or succeeded then
            WHEN (NEW.status IS NOT NULL AND pg_trigger_depth() = 0)
            EXECUTE FUNCTION @schema@.job_log_alert();
    END IF;
END
$$;
