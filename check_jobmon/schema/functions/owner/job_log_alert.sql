-- Trigger of job_log: keeps job_check_log up to date. The later of two runs is the one that ended later, not the one whose row is
-- written later: a data-only restore writes the rows in their order on disk, and add_past_run() logs runs late.
CREATE OR REPLACE FUNCTION @schema@.record_alert(p_run @schema@.job_log) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_alert_code integer := (SELECT t.alert_code FROM job_status_text AS t WHERE t.alert_text = p_run.status);
    v_over       bigint[];
BEGIN
    IF v_alert_code = 1 THEN
        -- a run whose end is in the future, because a clock was wrong, doesn't count as a later one
        v_over := ARRAY(
            SELECT c.job_id
              FROM job_check_log AS c
             WHERE c.job_name = p_run.job_name
               AND CASE WHEN EXISTS (SELECT FROM job_log AS l WHERE l.job_id = c.job_id)
                        THEN NOT EXISTS (SELECT FROM job_log AS l
                                          WHERE l.job_id = c.job_id
                                            AND (l.end_time, l.job_id) > (p_run.end_time, p_run.job_id)
                                            AND l.end_time <= clock_timestamp())
                        -- job_log_clear() has deleted its run
                        ELSE c.job_id < p_run.job_id
                   END
        );
        -- A site's own foreign key may keep a row. Then the row stays, with a code that doesn't alert: a success must not
        -- fail because of it. The error of a foreign key that is checked at COMMIT would come too late to be caught here.
        BEGIN
            IF EXISTS (SELECT FROM pg_constraint WHERE confrelid = 'job_check_log'::regclass AND condeferred) THEN
                RAISE foreign_key_violation;
            END IF;
            DELETE FROM job_check_log WHERE job_id = ANY (v_over);
        EXCEPTION WHEN integrity_constraint_violation THEN
            UPDATE job_check_log SET alert_code = 1 WHERE job_id = ANY (v_over);
        END;
    ELSIF v_alert_code IN (2, 3) THEN
        IF NOT EXISTS (SELECT FROM job_log AS l
                        WHERE l.job_name = p_run.job_name
                          AND l.end_time >= p_run.end_time
                          AND l.end_time <= clock_timestamp()
                          AND (l.end_time, l.job_id) > (p_run.end_time, p_run.job_id)
                          AND l.status = (SELECT t.alert_text FROM job_status_text AS t WHERE t.alert_code = 1)) THEN
            -- a run for which fail_job() is called twice counts as one failure
            INSERT INTO job_check_log (job_id, job_name, alert_code) VALUES (p_run.job_id, p_run.job_name, v_alert_code)
                ON CONFLICT (job_id) DO UPDATE SET job_name = excluded.job_name, alert_code = excluded.alert_code;
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.record_alert(@schema@.job_log) IS
    'Internal: a failing status adds the run to job_check_log unless a later run succeeded; a success deletes the job''s rows '
    'there, except those of later runs. A row that a foreign key refers to gets the alert code 1 instead.';

-- The usual end of a run, a success without failures to clear, is handled right here, because a new link compiles the whole of each
-- function that it calls.
CREATE OR REPLACE FUNCTION @schema@.job_log_alert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    -- Called by an UPDATE of job_status_text_renamed(), which rewrites the history: no run has failed or succeeded. bridge_purge() is a
    -- trigger, too, but the runs that it ends were open.
    IF pg_trigger_depth() > 1 AND TG_OP = 'UPDATE' AND OLD.end_time IS NOT NULL THEN
        RETURN NULL;
    END IF;
    IF NEW.status = (SELECT t.alert_text FROM job_status_text AS t WHERE t.alert_code = 1)
       AND NOT EXISTS (SELECT FROM job_check_log AS c WHERE c.job_name = NEW.job_name) THEN
        RETURN NULL;
    END IF;
    PERFORM record_alert(NEW);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.job_log_alert() IS 'Trigger of job_log: keeps job_check_log up to date. See record_alert().';
