-- The link's side of job_log_clear(): deletes a batch of the runs after job_id [7] (NULL for the first batch) that started before
-- [6]. [5] is the run of job_log_clear() itself, [8] its step, whose message always has the number of runs deleted so far, even if
-- this call's answer is lost. Returns the batch's last job_id, how many old runs the batch has, how many of them were deleted, and 1 if
-- there may be more, otherwise 0.
-- Never waits for a logger: runs whose rows are being written are left for the next call of job_log_clear().
CREATE OR REPLACE FUNCTION @schema@.link_clear(p_call text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    v_batch   constant integer := 1000;
    v_after   constant bigint := coalesce(p_call[7]::bigint, (SELECT min(job_id) - 1 FROM job_log));
    v_upto    bigint;
    v_found   bigint;
    v_runs    bigint[];
BEGIN
    PERFORM link_clearing(p_call);
    SELECT max(o.job_id), count(*)
      INTO v_upto, v_found
      FROM (SELECT l.job_id
              FROM job_log AS l
             WHERE l.job_id > v_after
               AND l.start_time < p_call[6]::timestamptz
             ORDER BY l.job_id
             LIMIT v_batch) AS o;
    v_runs := ARRAY(
        SELECT l.job_id
          FROM job_log AS l
         WHERE l.job_id > v_after
           AND l.job_id <= v_upto
           AND l.start_time < p_call[6]::timestamptz
           AND (l.end_time IS NOT NULL OR NOT may_be_alive(l))
         ORDER BY l.job_id
           FOR UPDATE SKIP LOCKED
    );
    v_runs := ARRAY(SELECT unnest(v_runs) EXCEPT SELECT k.job_id FROM job_log_kept_before(p_call[6]::timestamptz) AS k);
    -- without NULL elements, because array_nulls may be off in the caller's session
    RETURN ARRAY[coalesce(v_upto, 0), v_found, link_delete(v_runs, p_call[8]::bigint), (v_found = v_batch)::integer];
END
$$;
COMMENT ON FUNCTION @schema@.link_clear(text[]) IS 'Internal: the link''s side of job_log_clear().';
