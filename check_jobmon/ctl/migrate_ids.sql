-- The statements by which new runs and steps get ids beyond the old ones, also beyond those of runs that are gone; and the one that
-- says when jobs are due that were configured already. @old_name@: the old schema, as a text; @schema@: the new one.
SELECT format('ALTER TABLE @schema@.job_log ALTER job_id RESTART WITH %s',
              greatest((SELECT max(job_id) FROM @schema@.job_log), (SELECT max(job_id) FROM @schema@.job_check_log),
                       pg_sequence_last_value(pg_get_serial_sequence(@old_name@ || '.job_log', 'job_id')), 0) + 1)
 UNION ALL
SELECT format('ALTER TABLE @schema@.job_detail ALTER step_id RESTART WITH %s',
              greatest((SELECT max(step_id) FROM @schema@.job_detail),
                       pg_sequence_last_value(pg_get_serial_sequence(@old_name@ || '.job_detail', 'step_id')), 0) + 1)
 UNION ALL
SELECT 'SELECT @schema@.write_all_due()'
