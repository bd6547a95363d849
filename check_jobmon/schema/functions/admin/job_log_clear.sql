-- Deletes old runs, in batches that the link commits one by one, so that no logger waits for more than one batch. The function
-- itself doesn't read the log, and rolls its own transaction back after each batch, so it holds no lock that another session
-- (VACUUM FULL, say) could wait for while the link waits for that session.
CREATE OR REPLACE FUNCTION @schema@.job_log_clear(p_interval interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    -- beyond a thousand years the difference could leave the range of a timestamp
    v_before  constant timestamptz := CASE WHEN p_interval < '1000 years' THEN clock_timestamp() - p_interval
                                           ELSE make_timestamptz(1000, 1, 1, 0, 0, 0) END;
    -- a text that means the same in any session, whatever its time zone and date style
    v_text    constant text := to_char(v_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00');
    v_job_id  bigint;
    v_step_id bigint;
    v_kept    text[];
    v_next    text[];
    v_tries   integer := 10;
    v_batch   bigint[] := ARRAY[NULL, 0, 0, 1];
    v_found   bigint := 0;
    v_deleted bigint := 0;
    v_state   text;
    v_message text;
BEGIN
    IF p_interval IS NULL OR p_interval < '0' THEN
        RAISE EXCEPTION 'job_log_clear() needs an interval that is not negative, and this one is %',
                        coalesce(p_interval::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Call job_log_clear(''90 days''), for example.';
    END IF;
    BEGIN
        -- in the order of job_id, so that no batch looks again at the runs that an earlier one has kept
        WHILE v_batch[4] > 0 LOOP
            BEGIN
                IF v_kept IS NULL THEN
                    v_job_id := add_job('JOB LOG CLEAR');
                    v_step_id := add_step(v_job_id, format('delete the runs older than %s, from before %s', p_interval, v_text));
                    v_kept := link_call('kept', ARRAY[v_text], true);
                    LOOP
                        v_next := link_call('drop', ARRAY[v_job_id::text, v_text, v_next[1], v_step_id::text], true);
                        EXIT WHEN v_next IS NULL;
                        IF v_next[2] = 'locked' THEN
                            v_tries := v_tries - 1;
                            EXIT WHEN v_tries = 0;
                            PERFORM pg_sleep(0.5);
                        END IF;
                    END LOOP;
                END IF;
                v_batch := link_call('clear', ARRAY[v_job_id::text, v_text, v_batch[1]::text, v_step_id::text], true);
                v_found := v_found + v_batch[2];
                v_deleted := v_deleted + v_batch[3];
                RAISE EXCEPTION USING ERRCODE = 'JM000';
            EXCEPTION WHEN SQLSTATE 'JM000' THEN
                NULL;
            END;
        END LOOP;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
        IF v_step_id IS NOT NULL THEN
            -- a batch may have been committed although its answer did not arrive
            PERFORM update_step(v_step_id, status_text(3),
                                format('%s, then: %s [%s]',
                                       coalesce(link_call('cleared', ARRAY[v_step_id::text], true), 'runs deleted: 0'),
                                       v_message, v_state));
        END IF;
        IF v_job_id IS NOT NULL THEN
            PERFORM fail_job(v_job_id);
        END IF;
        RAISE;
    END;
    PERFORM update_step(v_step_id, status_text(1),
                        concat(link_call('cleared', ARRAY[v_step_id::text], true),
                               CASE WHEN v_tries = 0 THEN '; partitions were not dropped, because a lock on the log was in the way' END));
    v_step_id := add_step(v_job_id, 'keep the runs that the check needs, and runs in use');
    PERFORM update_step(v_step_id, status_text(1),
                        format('runs kept for the check: %s; runs under way or in use kept: %s',
                               concat_ws(', ', v_kept[1], nullif(v_kept[2], '')), greatest(v_found - v_deleted - v_kept[1]::bigint, 0)));
    PERFORM close_job(v_job_id);
END
$$;
COMMENT ON FUNCTION @schema@.job_log_clear(interval) IS
    'Deletes the runs that started longer ago than the interval, with their steps, and logs this as the job JOB LOG CLEAR. '
    'Drops the partitions in which no run has to be kept. Keeps the runs under way; the last completed run of each active job in '
    'job_check_config, if the job has a schedule, or if the run is younger than the longer of its two thresholds; and the run that '
    'ended a silence until the next run, while that silence would go on without it. Deleted runs stay deleted even if the transaction '
    'rolls back.';
