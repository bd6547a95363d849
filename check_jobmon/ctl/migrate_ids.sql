-- The statements that make new runs and steps get larger ids than all old ones, including runs that have been deleted; and the statement
-- that computes when the jobs with a schedule are due. @home@: the old schema's oid; @schema@: the new one.
WITH given AS (
    -- the last values of the sequences that the tables own, or that their columns' defaults use
    SELECT c.relname, max(pg_sequence_last_value(s.oid)) AS id
      FROM pg_class AS c
      LEFT JOIN pg_attrdef AS a ON a.adrelid = c.oid
      JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass
                         AND (d.classid = 'pg_class'::regclass AND d.refobjid = c.oid OR d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid)
      JOIN pg_class AS s ON s.relkind = 'S' AND s.oid IN (d.objid, d.refobjid)
     WHERE c.relnamespace = @home@
     GROUP BY c.relname
)
SELECT format('ALTER TABLE @schema@.job_log ALTER job_id RESTART WITH %s',
              greatest((SELECT max(job_id) FROM @schema@.job_log), (SELECT max(job_id) FROM @schema@.job_check_log),
                       (SELECT g.id FROM given AS g WHERE g.relname = 'job_log'), 0) + 1)
 UNION ALL
SELECT format('ALTER TABLE @schema@.job_detail ALTER step_id RESTART WITH %s',
              greatest((SELECT max(step_id) FROM @schema@.job_detail),
                       (SELECT g.id FROM given AS g WHERE g.relname = 'job_detail'), 0) + 1)
 UNION ALL
SELECT 'SELECT @schema@.write_all_due()'
