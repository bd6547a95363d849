-- Keeps job_check_config up to date with the jobs of a bridged scheduler: each active job gets a row there, unless somebody else has
-- written or changed that row.
CREATE OR REPLACE FUNCTION @schema@.bridge_follow(p_name text) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
SET row_security = off
SET intervalstyle = 'postgres'
SET extra_float_digits = 1
SET timezone = 'UTC'
SET jit = off
AS $$
DECLARE
    v_own     constant text[] := ARRAY(SELECT upper('@schema_name@ bridge ' || k.name) FROM bridge_known() AS k);
    v_bridge  bridge;
    v_job     record;
    v_name    text;
    v_try     integer;
    v_before  jsonb;
    v_now     jsonb;
    v_wanted  jsonb;
    v_zone    text;
    v_note    text;
    v_how     text;
    v_unknown boolean;
BEGIN
    SELECT * INTO v_bridge FROM bridge AS b WHERE b.name = p_name;
    -- jobs that were dropped more than a day ago; before that, there may be runs of the job that are still to be logged
    DELETE FROM bridge_job AS b WHERE b.bridge = p_name AND b.gone < now() - interval '1 day';
    FOR v_job IN EXECUTE format('UPDATE bridge_job AS b SET gone = now() WHERE b.bridge = $1 AND b.gone IS NULL AND NOT EXISTS '
                                '(SELECT FROM bridge_%s_jobs() AS s WHERE s.job_key = b.job_key) RETURNING b.job_name, b.written', p_name)
                 USING p_name
    LOOP
        DELETE FROM job_check_config AS c WHERE c.job_name = v_job.job_name AND to_jsonb(c) @> v_job.written;
        IF FOUND THEN
            -- the job will never succeed again, which would clear its failures
            DELETE FROM job_check_log AS k WHERE k.job_name = v_job.job_name;
        END IF;
        RETURN NEXT format('job "%s" is gone', v_job.job_name);
    END LOOP;

    FOR v_job IN EXECUTE format($query$
        WITH job AS (
            SELECT s.*, coalesce(upper(nullif(btrim(s.job_name), '')), upper(format('%%s job %%s', $1, s.job_key))) AS base
              FROM bridge_%s_jobs() AS s
             WHERE s.job_key IS DISTINCT FROM $2
        ), counted AS (
            SELECT j.*, count(*) OVER (PARTITION BY j.base) AS same_name, count(*) OVER (PARTITION BY j.base, j.database) AS same_place
              FROM job AS j
        ), named AS (
            SELECT c.*, CASE WHEN c.same_name = 1 THEN '' ELSE coalesce(upper(c.database) || ': ', '') END || c.base
                        || CASE WHEN c.same_place = 1 THEN '' ELSE format(' (%%s)', c.job_key) END AS full_name
              FROM counted AS c
        )
        SELECT n.job_key, n.schedule, n.timezone, n.active, n.note, n.due_unknown, n.since,
               -- a job's name has at most 500 characters
               CASE WHEN length(n.full_name) <= 500 THEN n.full_name
                    ELSE left(n.full_name, 480) || '... ' || upper(left(md5(n.full_name), 8)) END AS new_name,
               jsonb_build_array(md5(n.base), n.schedule, n.timezone, n.active, n.note, n.due_unknown, n.since, $3) AS source,
               b.job_key IS NULL AS is_new, b.job_name AS old_name, b.source AS old_source, b.written
          FROM named AS n
          LEFT JOIN bridge_job AS b ON b.bridge = $1 AND b.job_key = n.job_key AND b.gone IS NULL
         ORDER BY n.job_key
    $query$, p_name)
    USING p_name, v_bridge.own_key, v_bridge.defaults
    LOOP
        -- A job keeps its name in the log until it is renamed in the scheduler, and no two jobs have the same one. Otherwise a role could
        -- choose such names for its own jobs that another role's job is renamed, or gets runs that aren't its own.
        v_name := CASE WHEN v_job.old_source -> 0 = v_job.source -> 0 THEN v_job.old_name ELSE v_job.new_name END;
        v_try := 0;
        WHILE v_name = ANY (v_own)
              OR v_name IS DISTINCT FROM v_job.old_name
             AND EXISTS (SELECT FROM bridge_job AS o
                          WHERE o.job_name = v_name AND o.gone IS NULL AND (o.bridge, o.job_key) <> (p_name, v_job.job_key))
        LOOP
            v_try := v_try + 1;
            v_name := format('%s (%s)', left(v_job.new_name, 450), concat_ws('/', v_job.job_key, nullif(v_try, 1)));
        END LOOP;
        SELECT to_jsonb(c) INTO v_now FROM job_check_config AS c WHERE c.job_name = v_name;
        -- usually nothing has changed
        CONTINUE WHEN v_job.old_name = v_name
                  AND v_job.old_source = v_job.source
                  AND (v_now @> v_job.written OR v_now IS NOT NULL AND v_job.written IS NULL OR v_now IS NULL AND NOT v_job.active);

        v_before := v_job.written;
        IF v_job.old_name <> v_name THEN
            DELETE FROM job_check_config AS c WHERE c.job_name = v_job.old_name AND to_jsonb(c) @> v_job.written;
            UPDATE job_check_log AS k SET job_name = v_name WHERE k.job_name = v_job.old_name;
            v_job.written := NULL;
            RETURN NEXT format('job "%s" is now called "%s"', v_job.old_name, v_name);
        END IF;

        v_zone := CASE WHEN v_job.timezone IN ('GMT', 'Etc/UTC', 'Etc/GMT') THEN 'UTC' ELSE v_job.timezone END;
        v_note := check_schedule(v_job.schedule, v_zone);
        v_unknown := v_note IS NOT NULL OR v_job.due_unknown;
        v_note := coalesce(v_note, v_job.note);
        v_how := CASE WHEN NOT v_job.active THEN 'is not active'
                      WHEN v_unknown THEN format('is logged, but never missing: %s', v_note)
                      WHEN v_note IS NOT NULL THEN format('is watched from run to run: %s', v_note)
                      ELSE format('is watched by its schedule: %s (%s)', v_job.schedule, v_zone)
                 END;
        -- NULL for columns that the bridge has written earlier, with other defaults
        v_wanted := coalesce((SELECT jsonb_object_agg(k.key, NULL) FROM jsonb_object_keys(v_job.written) AS k(key)), '{}')
                    || v_bridge.defaults
                    || jsonb_build_object('job_name', v_name, 'active', v_job.active, 'timezone', CASE WHEN v_note IS NULL THEN v_zone ELSE 'UTC' END,
                                          'schedule', CASE WHEN v_note IS NULL THEN v_job.schedule END,
                                          'sensitivity', coalesce(v_bridge.defaults -> 'sensitivity', '0'),
                                          'depends_on', upper('@schema_name@ bridge ' || p_name))
                    -- it is not known when the job is due, so it must never be missing
                    || CASE WHEN v_unknown
                            THEN '{"warn_threshold": "1000 years", "error_threshold": "1000 years"}'::jsonb ELSE '{}' END;
        -- converts the values to the form in which to_jsonb() of a row of the table has them
        SELECT jsonb_object_agg(e.key, e.value)
          INTO v_wanted
          FROM jsonb_each(to_jsonb(jsonb_populate_record(NULL::job_check_config, v_wanted))) AS e
         WHERE v_wanted ? e.key;

        IF v_now IS NULL AND NOT v_job.active OR v_now IS NOT NULL AND NOT coalesce(v_now @> v_job.written, false) THEN
            IF v_now IS NOT NULL AND (v_job.is_new OR v_job.written IS NOT NULL) THEN
                RETURN NEXT format('job "%s" keeps the configuration that it has, which is not the bridge''s', v_name);
            END IF;
            v_wanted := NULL;
        ELSIF v_now IS NULL THEN
            INSERT INTO job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity, schedule, timezone, warn_duration,
                                          error_duration, min_duration, slow_factor, depends_on, escalate, owner, description, runbook,
                                          since)
            SELECT w.job_name, w.warn_threshold, w.error_threshold, w.active, w.sensitivity, w.schedule, w.timezone, w.warn_duration,
                   w.error_duration, w.min_duration, w.slow_factor, w.depends_on, w.escalate, w.owner, w.description, w.runbook,
                   greatest(now(), v_job.since)
              FROM jsonb_populate_record(NULL::job_check_config, v_wanted) AS w;
            RETURN NEXT format('job "%s" %s', v_name, v_how);
        ELSIF NOT v_now @> v_wanted THEN
            -- columns that the bridge doesn't write keep their values
            UPDATE job_check_config AS c
               SET (warn_threshold, error_threshold, active, sensitivity, schedule, timezone, warn_duration, error_duration, min_duration,
                    slow_factor, depends_on, escalate, owner, description, runbook)
                 = (SELECT w.warn_threshold, w.error_threshold, w.active, w.sensitivity, w.schedule, w.timezone, w.warn_duration,
                           w.error_duration, w.min_duration, w.slow_factor, w.depends_on, w.escalate, w.owner, w.description, w.runbook
                      FROM jsonb_populate_record(c, v_wanted) AS w)
             WHERE c.job_name = v_name;
            RETURN NEXT format('job "%s" has changed: it %s', v_name, v_how);
        END IF;
        IF v_job.active
           AND (v_wanted ->> 'schedule', v_wanted ->> 'timezone', v_wanted ->> 'active')
               IS DISTINCT FROM (v_before ->> 'schedule', v_before ->> 'timezone', v_before ->> 'active') THEN
            -- By its new schedule, the job wasn't due before now.
            UPDATE job_log AS l
               SET next_due = w.next_due
              FROM (SELECT due_after(v_wanted ->> 'schedule', v_wanted ->> 'timezone', now(), '0') AS next_due) AS w
             WHERE l.job_id = (SELECT e.job_id
                                 FROM job_log AS e
                                WHERE e.job_name = v_name AND e.end_time IS NOT NULL
                                ORDER BY e.end_time DESC
                                LIMIT 1)
               AND l.next_due < w.next_due;
        END IF;
        INSERT INTO bridge_job (bridge, job_key, job_name, source, written, note)
        VALUES (p_name, v_job.job_key, v_name, v_job.source, v_wanted, v_note)
            ON CONFLICT (bridge, job_key) DO UPDATE
           SET job_name = excluded.job_name, source = excluded.source, written = excluded.written, note = excluded.note, gone = NULL;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_follow(text) IS
    'Internal: updates job_check_config for the jobs of a scheduler that are new, altered, renamed, deactivated or dropped. Returns lines '
    'that say what was done.';
