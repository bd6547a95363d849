-- What will be different after the migration: the difference, and the job that it is about, or NULL. To be executed before the migration.
-- @old@: the schema to migrate, @home@: its oid, @schema@: the new one.
SELECT coalesce('job ' || left(n.job_name, 100) || ': ', '') || n.difference, n.job_name
  FROM (SELECT c.job_name, format('its sensitivity was %s, and is now %s', c.sensitivity, least(greatest(coalesce(c.sensitivity, 0), 0), 32767))
          FROM @old@.job_check_config AS c
         WHERE c.sensitivity IS NULL OR c.sensitivity NOT BETWEEN 0 AND 32767
         UNION ALL
        SELECT c.job_name,
               CASE WHEN e.escalate ~ '^[1-9][0-9]{0,3}$'
                    THEN format('its escalate counts: %s failures in a row are critical, and the plugin has ignored that', e.escalate)
                    ELSE format('its escalate (%s) is not a number of failures, and is left out', left(e.escalate, 50)) END
          FROM @old@.job_check_config AS c
         CROSS JOIN LATERAL (SELECT to_jsonb(c) ->> 'escalate') AS e(escalate)
         WHERE e.escalate IS NOT NULL
         UNION ALL
        SELECT c.job_name, 'it was configured already, which is kept'
          FROM @old@.job_check_config AS c
          JOIN @schema@.job_check_config AS n USING (job_name)
         UNION ALL
        SELECT max(c.job_name), format('run %s was in job_check_log %s times, and counts as one failure', c.job_id, count(*))
          FROM @old@.job_check_log AS c
         GROUP BY c.job_id
        HAVING count(*) > 1
         UNION ALL
        -- views and foreign keys, which refer to a table by its oid, and so go on using the old one
        SELECT NULL, format('%s still uses %s: create it again', pg_describe_object(v.classid, v.objid, 0), v.what)
          FROM (SELECT DISTINCT 'pg_class'::regclass AS classid, r.ev_class AS objid, c.oid::regclass::text AS what
                  FROM pg_class AS c
                  JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.classid = 'pg_rewrite'::regclass
                  JOIN pg_rewrite AS r ON r.oid = d.objid
                  JOIN pg_class AS w ON w.oid = r.ev_class
                 WHERE c.relnamespace = @home@ AND w.relnamespace <> @home@
                 UNION ALL
                SELECT 'pg_constraint'::regclass, k.oid, k.confrelid::regclass::text
                  FROM pg_constraint AS k
                  JOIN pg_class AS c ON c.oid = k.confrelid
                 WHERE k.contype = 'f' AND c.relnamespace = @home@ AND k.connamespace <> @home@) AS v
         UNION ALL
        SELECT NULL, format('%s is not there any more', p.oid::regprocedure)
          FROM pg_proc AS p
         WHERE p.pronamespace = @home@
           AND p.proname NOT LIKE '\_%'
           AND p.prorettype <> 'trigger'::regtype
           AND NOT EXISTS (SELECT FROM pg_proc AS o
                            WHERE o.pronamespace = '@schema@'::regnamespace AND o.proname = p.proname
                              AND o.pronargs >= p.pronargs AND o.pronargs - o.pronargdefaults <= p.pronargs
                              AND (oidvectortypes(o.proargtypes) || ', ') LIKE oidvectortypes(p.proargtypes) || ', %')
         UNION ALL
        SELECT NULL, c.text
          FROM (VALUES ('a run can be ended by the role that started it, by one with that role''s rights, or by the schema''s owner'),
                       ('a run that has ended keeps its end, and job_log_clear() keeps the runs that the check needs')) AS c(text)
       ) AS n(job_name, difference)
 ORDER BY n.job_name, n.difference
