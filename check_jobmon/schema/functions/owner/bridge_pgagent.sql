-- What the bridge reads of pgAgent: see bridge_pg_cron.sql.

-- Converts an array of pgAgent's, in which no true element means all, to a field of a cron expression, such as '*' or '0,15,30'.
CREATE OR REPLACE FUNCTION @schema@.bridge_pgagent_field(p_set boolean[], p_first integer) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
SELECT CASE WHEN bool_and(s.is_set) OR NOT bool_or(s.is_set) THEN '*'
            -- the 32nd day is the last of the month
            ELSE string_agg(CASE WHEN s.place = 32 AND p_first = 1 THEN 'L' ELSE (s.place - 1 + p_first)::text END, ',' ORDER BY s.place)
                     FILTER (WHERE s.is_set)
       END
  FROM unnest(p_set) WITH ORDINALITY AS s(is_set, place)
$$;
COMMENT ON FUNCTION @schema@.bridge_pgagent_field(boolean[], integer) IS
    'Internal: converts an array of a pgAgent schedule to a field of a cron expression. p_first is the lowest value of that field.';

CREATE OR REPLACE FUNCTION @schema@.bridge_pgagent_jobs()
RETURNS TABLE (job_key bigint, job_name text, database text, schedule text, timezone text, active boolean, since timestamptz,
               due_unknown boolean, note text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
SET row_security = off
AS $$
BEGIN
    RETURN QUERY
    SELECT j.jobid::bigint, j.jobname,
           (SELECT CASE WHEN count(DISTINCT s.jstdbname) = 1 THEN max(s.jstdbname::text) END
              FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid AND s.jstdbname <> ''),
           p.expression,
           -- pgAgent goes by the time zone of its session, which usually is the server's
           (SELECT s.reset_val FROM pg_settings AS s WHERE s.name = 'TimeZone'),
           j.jobenabled AND p.since IS NOT NULL, p.since, p.why IS NOT NULL, p.why
      FROM pgagent.pga_job AS j
      LEFT JOIN LATERAL (
            -- Of several schedules, the one with the most times. Whenever it is due, the job is due.
            SELECT CASE WHEN w.why IS NULL THEN e.expression END AS expression, w.why, c.jscstart AS since
              FROM pgagent.pga_schedule AS c
             CROSS JOIN LATERAL (
                    SELECT bridge_pgagent_field(c.jscminutes, 0) AS minutes, bridge_pgagent_field(c.jschours, 0) AS hours,
                           bridge_pgagent_field(c.jscmonthdays, 1) AS days, bridge_pgagent_field(c.jscmonths, 1) AS months,
                           bridge_pgagent_field(c.jscweekdays, 0) AS weekdays
                   ) AS f
             CROSS JOIN LATERAL (SELECT concat_ws(' ', f.minutes, f.hours, f.days, f.months, f.weekdays) AS expression) AS e
             CROSS JOIN LATERAL (
                    SELECT CASE WHEN f.days <> '*' AND f.weekdays <> '*'
                                THEN format('its schedule "%s" is for days of the month that are certain weekdays, which no cron '
                                            'expression says', left(c.jscname, 100))
                                WHEN EXISTS (SELECT FROM pgagent.pga_exception AS x WHERE x.jexscid = c.jscid)
                                THEN format('its schedule "%s" has exceptions, which a cron expression can''t have', left(c.jscname, 100))
                           END AS why
                   ) AS w
             WHERE c.jscjobid = j.jobid
               AND c.jscenabled
               AND (c.jscend IS NULL OR c.jscend > now())
               -- pgAgent never runs a schedule in which no minute, hour, day or month is set
               AND true = ANY (c.jscminutes || c.jschours || c.jscmonthdays || c.jscmonths)
             ORDER BY w.why IS NOT NULL, c.jscstart > now(),
                      (SELECT sum(ln(CASE v.field WHEN '*' THEN v.all_of_it ELSE cardinality(string_to_array(v.field, ',')) END))
                         FROM (VALUES (f.minutes, 60), (f.hours, 24), (f.days, 31), (f.months, 12), (f.weekdays, 7)) AS v(field, all_of_it)
                      ) DESC,
                      c.jscid
             LIMIT 1
           ) AS p ON true;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_pgagent_jobs() IS 'Internal: the jobs of pgAgent, for bridge_follow().';

CREATE OR REPLACE FUNCTION @schema@.bridge_pgagent_runs(p_after bigint, p_keys bigint[])
RETURNS TABLE (run_key bigint, job_key bigint, owner text, pid integer, started timestamptz, ended timestamptz, code integer, steps jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @schema@, pg_temp
SET row_security = off
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT l.jlgid::bigint, l.jlgjobid::bigint, current_user::text, 0, l.jlgstart,
           CASE WHEN c.code IS NOT NULL THEN coalesce(l.jlgstart + l.jlgduration, clock_timestamp()) END, c.code,
           coalesce((SELECT jsonb_agg(jsonb_build_object(
                                'action', coalesce(bounded_text(t.jstname), format('pgAgent step %s', s.jsljstid)),
                                'started', s.jslstart,
                                'ended', coalesce(s.jslstart + s.jslduration, l.jlgstart + l.jlgduration),
                                'code', CASE s.jslstatus WHEN 's' THEN 1 WHEN 'i' THEN 2 WHEN 'r' THEN NULL ELSE 3 END,
                                'message', concat_ws(': ',
                                                     CASE s.jslstatus WHEN 'i' THEN 'failed, which this job ignores'
                                                                      WHEN 'd' THEN 'aborted'
                                                                      WHEN 'r' THEN 'not known to have ended' END,
                                                     -- for a step with SQL, jslresult is a number of rows, or -1
                                                     CASE WHEN t.jstkind = 'b' AND s.jslresult <> 0 THEN format('result %s', s.jslresult) END,
                                                     -- can be very long: see bridge_pg_cron.sql
                                                     nullif(btrim(bounded_text(left(s.jsloutput, 10000000))), '')))
                              ORDER BY s.jslid)
                       FROM pgagent.pga_jobsteplog AS s
                       LEFT JOIN pgagent.pga_jobstep AS t ON t.jstid = s.jsljstid
                      WHERE s.jsljlgid = l.jlgid),
                    jsonb_build_array(jsonb_build_object(
                        'action', format('pgAgent job %s', l.jlgjobid),
                        'started', l.jlgstart,
                        'ended', l.jlgstart + l.jlgduration,
                        'code', c.code,
                        'message', CASE l.jlgstatus WHEN 'i' THEN 'it has no step to execute' WHEN 'd' THEN 'aborted'
                                                    ELSE format('status "%s", without any step', l.jlgstatus) END)))
      FROM pgagent.pga_joblog AS l
     CROSS JOIN LATERAL (
            SELECT CASE l.jlgstatus WHEN 'r' THEN NULL WHEN 's' THEN 1 WHEN 'f' THEN 3 WHEN 'd' THEN 3 ELSE 2 END AS code
           ) AS c
     WHERE l.jlgid > p_after
        OR l.jlgid = ANY (p_keys);
END
$$;
COMMENT ON FUNCTION @schema@.bridge_pgagent_runs(bigint, bigint[]) IS 'Internal: the runs of pgAgent, for bridge_run().';

CREATE OR REPLACE FUNCTION @schema@.bridge_pgagent_job(p_wanted boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
SET row_security = off
AS $$
DECLARE
    v_name    constant text := '@schema_name@ bridge';
    v_command constant text := 'SELECT @schema@.bridge_run(''pgagent'')';
    v_key     bigint;
BEGIN
    SELECT j.jobid
      INTO v_key
      FROM pgagent.pga_job AS j
      JOIN pgagent.pga_jobstep AS s ON s.jstjobid = j.jobid AND s.jstenabled AND s.jstcode = v_command AND s.jstdbname = current_database()
      JOIN pgagent.pga_schedule AS c ON c.jscjobid = j.jobid AND c.jscenabled AND c.jscend IS NULL
     WHERE j.jobname = v_name AND j.jobenabled AND p_wanted
     ORDER BY j.jobid
     LIMIT 1;
    IF NOT FOUND THEN
        DELETE FROM pgagent.pga_job AS j
         WHERE j.jobname = v_name
           AND EXISTS (SELECT FROM pgagent.pga_jobstep AS s WHERE s.jstjobid = j.jobid AND s.jstcode = v_command);
        IF p_wanted THEN
            INSERT INTO pgagent.pga_job (jobjclid, jobname)
            SELECT min(c.jclid), v_name FROM pgagent.pga_jobclass AS c
            RETURNING jobid INTO v_key;
            INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)
            VALUES (v_key, 'copy runs', 's', v_command, current_database());
            INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscminutes)
            VALUES (v_key, 'each minute', array_fill(true, '{60}'));
        END IF;
    END IF;
    RETURN v_key;
END
$$;
COMMENT ON FUNCTION @schema@.bridge_pgagent_job(boolean) IS
    'Internal: with true, creates the job of pgAgent that calls bridge_run() each minute, unless it exists, and returns its number; with '
    'false, drops it.';
