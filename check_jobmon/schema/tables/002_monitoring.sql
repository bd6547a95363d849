-- What the check reads besides the log: the words for the alert codes, the watched jobs, and the failures since each job's last success.

CREATE TABLE @schema@.job_status_text (
    alert_code integer PRIMARY KEY,
    -- deferrable, so that one UPDATE can swap two words
    alert_text text NOT NULL UNIQUE DEFERRABLE INITIALLY IMMEDIATE,
    error_code integer NOT NULL,
    error_text text NOT NULL
);
COMMENT ON TABLE @schema@.job_status_text IS
    'The words for the alert codes. Change the texts as you like, never the codes. '
    'error_code and error_text are the same two columns under their older names: writing either pair writes both.';

-- Keeps the two pairs of columns equal: the pair that a statement has changed is copied to the other.
CREATE FUNCTION @schema@.job_status_text_names() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.alert_code := coalesce(NEW.alert_code, NEW.error_code);
        NEW.alert_text := coalesce(NEW.alert_text, NEW.error_text);
        NEW.error_code := coalesce(NEW.error_code, NEW.alert_code);
        NEW.error_text := coalesce(NEW.error_text, NEW.alert_text);
    ELSE
        IF NEW.alert_code = OLD.alert_code THEN
            NEW.alert_code := NEW.error_code;
        ELSIF NEW.error_code = OLD.error_code THEN
            NEW.error_code := NEW.alert_code;
        END IF;
        IF NEW.alert_text = OLD.alert_text THEN
            NEW.alert_text := NEW.error_text;
        ELSIF NEW.error_text = OLD.error_text THEN
            NEW.error_text := NEW.alert_text;
        END IF;
    END IF;
    IF (NEW.alert_code, NEW.alert_text) IS DISTINCT FROM (NEW.error_code, NEW.error_text) THEN
        RAISE EXCEPTION 'alert_code and error_code, alert_text and error_text are two names for one value'
            USING ERRCODE = 'check_violation', HINT = 'Write one of the two names, or the same value to both.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @schema@.job_status_text_names() IS
    'Trigger of job_status_text: keeps alert_code/alert_text and error_code/error_text the same.';

CREATE TRIGGER job_status_text_names
    BEFORE INSERT OR UPDATE ON @schema@.job_status_text
    FOR EACH ROW EXECUTE FUNCTION @schema@.job_status_text_names();

-- both pairs, because the trigger may be off (session_replication_role)
INSERT INTO @schema@.job_status_text (alert_code, alert_text, error_code, error_text)
     VALUES (1, 'OK', 1, 'OK'), (2, 'WARNING', 2, 'WARNING'), (3, 'CRITICAL', 3, 'CRITICAL');

CREATE TABLE @schema@.job_check_config (
    job_name        text PRIMARY KEY,
    warn_threshold  interval NOT NULL,
    error_threshold interval NOT NULL,
    active          boolean NOT NULL DEFAULT false,
    sensitivity     smallint NOT NULL DEFAULT 0
);
COMMENT ON TABLE @schema@.job_check_config IS
    'Jobs that need more than the default, which is an alert after three consecutive failures.';
COMMENT ON COLUMN @schema@.job_check_config.job_name IS 'exactly as in job_log: upper case';
COMMENT ON COLUMN @schema@.job_check_config.warn_threshold IS 'how long the job may not run before alert code 2';
COMMENT ON COLUMN @schema@.job_check_config.error_threshold IS 'how long the job may not run before alert code 3';
COMMENT ON COLUMN @schema@.job_check_config.active IS 'whether the job is watched at all';
COMMENT ON COLUMN @schema@.job_check_config.sensitivity IS
    'how many failures are let pass: 0 alerts on the first, 1 on the second';

CREATE TABLE @schema@.job_check_log (
    job_id     bigint NOT NULL,
    job_name   text NOT NULL,
    alert_code integer NOT NULL DEFAULT 3
);
CREATE INDEX job_check_log_job_name_idx ON @schema@.job_check_log (job_name, alert_code, job_id);
CREATE INDEX job_check_log_job_id_idx ON @schema@.job_check_log (job_id);
COMMENT ON TABLE @schema@.job_check_log IS
    'The failed runs since a job''s last success. A trigger on job_log keeps it. If a job can never succeed again, '
    'DELETE its job_id, or all up to one: do not TRUNCATE, a job may just have failed.';
