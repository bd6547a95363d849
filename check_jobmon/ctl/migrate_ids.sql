-- New runs and steps get ids beyond the old ones, also beyond those of runs that are gone. And when the jobs are due that were
-- configured already. @old@: the old schema, @schema@: the new one.
DO $$
BEGIN
    EXECUTE format('ALTER TABLE @schema@.job_log ALTER job_id RESTART WITH %s',
                   (SELECT greatest((SELECT max(job_id) FROM @schema@.job_log), (SELECT max(job_id) FROM @schema@.job_check_log),
                                    pg_sequence_last_value(pg_get_serial_sequence('@old@.job_log', 'job_id')), 0) + 1));
    EXECUTE format('ALTER TABLE @schema@.job_detail ALTER step_id RESTART WITH %s',
                   (SELECT greatest((SELECT max(step_id) FROM @schema@.job_detail),
                                    pg_sequence_last_value(pg_get_serial_sequence('@old@.job_detail', 'step_id')), 0) + 1));
END
$$;
SELECT @schema@.write_all_due()
