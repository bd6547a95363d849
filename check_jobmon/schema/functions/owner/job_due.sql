-- When jobs are due. This is computed when a run starts, and when a schedule, its time zone or `since` changes, so that the check only has
-- to compare times.

CREATE OR REPLACE FUNCTION @schema@.due_after(p_schedule text, p_timezone text, p_time timestamptz, p_grace interval) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    RETURN next_run(p_schedule, p_timezone, p_time + p_grace);
EXCEPTION WHEN OTHERS THEN
    -- The server doesn't have the time zone any more, or the time is out of range. A job must not fail because of that.
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.due_after(text, text, timestamptz, interval) IS
    'Internal: next_run() of the time plus the interval, NULL where that raises an error.';

-- A run that starts up to a minute before the job is due counts as the run that was due.
CREATE OR REPLACE FUNCTION @schema@.job_log_due() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    NEW.next_due := (SELECT due_after(c.schedule, c.timezone, NEW.start_time, '1 minute')
                       FROM job_check_config AS c
                      WHERE c.job_name = NEW.job_name
                        AND c.schedule IS NOT NULL);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @schema@.job_log_due() IS 'Trigger of job_log: writes next_due.';

CREATE OR REPLACE FUNCTION @schema@.job_check_config_due() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_wrong text;
BEGIN
    -- the same rules as those of the constraints, but with messages that say what is wrong
    v_wrong := CASE WHEN NEW.timezone IS NULL THEN 'timezone can''t be NULL: write ''UTC'', or leave it out'
                    WHEN NOT (NEW.slow_factor > 1 AND NEW.slow_factor <= 1000)
                    THEN format('slow_factor has to be more than 1, and at most 1000, and this is %s', NEW.slow_factor)
                    WHEN NEW.escalate < 1
                    THEN format('escalate has to be at least 1, and this is %s: NULL means never', NEW.escalate)
                    ELSE (SELECT format('%s has to be a time that a run can take, such as ''90 minutes'', and this is %s', d.name, d.value)
                            FROM (VALUES ('warn_duration', NEW.warn_duration),
                                         ('error_duration', NEW.error_duration),
                                         ('min_duration', NEW.min_duration)) AS d(name, value)
                           WHERE NOT (d.value > '0' AND d.value < '1000 years')
                           LIMIT 1)
               END;
    -- A row whose schedule or time zone has become invalid since can still be changed in other columns.
    IF v_wrong IS NULL AND (TG_OP = 'INSERT' OR (NEW.schedule, NEW.timezone) IS DISTINCT FROM (OLD.schedule, OLD.timezone)) THEN
        v_wrong := check_schedule(NEW.schedule, NEW.timezone);
    END IF;
    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', v_wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    NEW.first_due := CASE WHEN NEW.schedule IS NULL THEN NULL
                          WHEN NEW.since < '1000-01-01' THEN '-infinity'
                          WHEN NEW.since > '9999-12-31' THEN 'infinity'
                          ELSE due_after(NEW.schedule, NEW.timezone, NEW.since, '0')
                     END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @schema@.job_check_config_due() IS
    'Trigger of job_check_config: raises an error if schedule, timezone, a duration, slow_factor or escalate is invalid; writes first_due.';

-- The runs from which the check may count are the open ones and the last completed one.
CREATE OR REPLACE FUNCTION @schema@.write_due(p_job_name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_ids bigint[];
    v_due timestamptz[];
BEGIN
    WITH status_text AS (
        SELECT t.alert_code, t.alert_text FROM job_status_text AS t
    )
    SELECT array_agg(r.job_id), array_agg(d.next_due)
      INTO v_ids, v_due
      FROM job_check_config AS c
     CROSS JOIN LATERAL (
            SELECT o.job_id, o.start_time, o.next_due
              FROM job_log AS o
             WHERE o.job_name = c.job_name
               AND o.end_time IS NULL
             UNION ALL
            (SELECT r.job_id, r.start_time, r.next_due
               FROM job_log AS r
              WHERE r.job_name = c.job_name
                AND r.end_time BETWEEN '1000-01-01' AND '9999-12-31'
                AND @schema/was_no_refusal.sql@
              ORDER BY r.end_time DESC
              LIMIT 1)
           ) AS r
     CROSS JOIN LATERAL (SELECT due_after(c.schedule, c.timezone, r.start_time, '1 minute') AS next_due) AS d
     WHERE CASE WHEN p_job_name IS NULL THEN c.schedule IS NOT NULL ELSE c.job_name = p_job_name END
       AND d.next_due IS DISTINCT FROM r.next_due;
    -- not executed if there is nothing to write, because bootstrap must not wait then for a session that has locked the table
    IF v_ids IS NOT NULL THEN
        UPDATE job_log AS l
           SET next_due = w.next_due
          FROM unnest(v_ids, v_due) AS w(job_id, next_due)
         WHERE l.job_id = w.job_id;
    END IF;
END
$$;
COMMENT ON FUNCTION @schema@.write_due(text) IS
    'Internal: computes next_due again for the runs of the job from which the check may count; NULL means all jobs with a schedule.';

CREATE OR REPLACE FUNCTION @schema@.job_check_config_runs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.schedule IS NOT NULL
       OR TG_OP = 'UPDATE'
          AND (NEW.job_name, NEW.schedule, NEW.timezone) IS DISTINCT FROM (OLD.job_name, OLD.schedule, OLD.timezone) THEN
        PERFORM write_due(NEW.job_name);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.job_check_config_runs() IS 'Trigger of job_check_config: writes next_due of the job''s runs.';

-- Bootstrap calls this, because the server's time zone data may have changed.
CREATE OR REPLACE FUNCTION @schema@.write_all_due() RETURNS TABLE (job_name text, wrong text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
BEGIN
    -- row by row, because even an UPDATE that finds no row waits for a session that has locked the table
    FOR job_name IN
        SELECT c.job_name
          FROM job_check_config AS c
         WHERE c.schedule IS NOT NULL
           AND c.since BETWEEN '1000-01-01' AND '9999-12-31'
           AND c.first_due IS DISTINCT FROM due_after(c.schedule, c.timezone, c.since, '0')
    LOOP
        -- the table's trigger writes the right time
        UPDATE job_check_config AS c SET first_due = NULL WHERE c.job_name = write_all_due.job_name;
    END LOOP;
    PERFORM write_due(NULL);
    RETURN QUERY
    SELECT c.job_name, w.wrong
      FROM job_check_config AS c
     CROSS JOIN LATERAL (SELECT check_schedule(c.schedule, c.timezone) AS wrong) AS w
     WHERE c.schedule IS NOT NULL
       AND w.wrong IS NOT NULL
     ORDER BY c.job_name;
END
$$;
COMMENT ON FUNCTION @schema@.write_all_due() IS
    'Internal: computes again when all jobs are due. Returns the jobs whose schedule or time zone is no longer valid, and why.';
