-- Deletes old runs. In batches that the link commits one by one, so that no logger waits for more than one.
CREATE OR REPLACE FUNCTION @schema@.job_log_clear(p_interval interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_batch   constant integer := 1000;
    -- beyond a thousand years the difference could leave the range of a timestamp
    v_before  constant timestamptz := CASE WHEN p_interval < '1000 years' THEN clock_timestamp() - p_interval
                                           ELSE make_timestamptz(1000, 1, 1, 0, 0, 0) END;
    -- the same in any session, whatever its time zone and date style
    v_text    constant text := to_char(v_before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00');
    v_job_id  bigint;
    v_step_id bigint;
    v_after   bigint := (SELECT min(job_id) - 1 FROM job_log);
    v_upto    bigint;
    v_found   bigint;
    v_old     bigint := 0;
    v_deleted bigint := 0;
    v_kept    text;
    v_keeping bigint;
    v_state   text;
    v_message text;
BEGIN
    IF p_interval IS NULL OR p_interval < '0' THEN
        RAISE EXCEPTION 'job_log_clear() needs an interval that is not negative, and this one is %',
                        coalesce(p_interval::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Call job_log_clear(''90 days''), say.';
    END IF;
    v_job_id := add_job('JOB LOG CLEAR');
    v_step_id := add_step(v_job_id, format('delete the runs older than %s, from before %s', p_interval, v_text));
    BEGIN
        SELECT string_agg(k.job_name || ' (job ' || k.job_id || ')', ', ' ORDER BY k.job_name), count(*)
          INTO v_kept, v_keeping
          FROM job_log_kept() AS k
         WHERE k.start_time < v_text::timestamptz;
        -- one pass in the order of job_id, so that no batch looks again at what another has left
        LOOP
            SELECT max(o.job_id), count(*)
              INTO v_upto, v_found
              FROM (SELECT l.job_id
                      FROM job_log AS l
                     WHERE l.job_id > v_after
                       AND l.start_time < v_text::timestamptz
                     ORDER BY l.job_id
                     LIMIT v_batch) AS o;
            EXIT WHEN v_found = 0;
            v_old := v_old + v_found;
            v_deleted := v_deleted
                         + link_call('clear', ARRAY[v_job_id::text, v_text, v_after::text, v_upto::text], true)::bigint;
            v_after := v_upto;
        END LOOP;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        GET STACKED DIAGNOSTICS v_state = RETURNED_SQLSTATE, v_message = MESSAGE_TEXT;
        PERFORM update_step(v_step_id, status_text(3),
                            format('runs deleted: %s, then: %s [%s]', v_deleted, v_message, v_state));
        PERFORM fail_job(v_job_id);
        RAISE;
    END;
    PERFORM update_step(v_step_id, status_text(1), format('runs deleted: %s', v_deleted));
    v_step_id := add_step(v_job_id, 'keep the last completed run of a job whose thresholds reach back to it, and runs in use');
    PERFORM update_step(v_step_id, status_text(1),
                        format('last completed runs kept: %s; runs under way or in use kept: %s',
                               v_keeping || coalesce(', ' || v_kept, ''), greatest(v_old - v_deleted - v_keeping, 0)));
    PERFORM close_job(v_job_id);
END
$$;
COMMENT ON FUNCTION @schema@.job_log_clear(interval) IS
    'Deletes the runs that started longer ago than the interval, with their steps, and logs itself as the job JOB LOG CLEAR. '
    'Keeps runs under way, and the last completed run of an active configured job while its thresholds reach back to it. '
    'What it has deleted stays deleted even if the transaction rolls back.';
