-- Trigger of job_status_text: when a word is changed, changes it in the log's history too.
CREATE OR REPLACE FUNCTION @schema@.job_status_text_renamed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
AS $$
DECLARE
    -- The xmin of rows that this function has already changed. If words are swapped, nothing else distinguishes those rows.
    v_changed constant xid := (SELECT s.xmin FROM job_status_text AS s JOIN new_words AS n ON n.alert_code = s.alert_code LIMIT 1);
    v_old     text[];
    v_new     text[];
    v_runs    bigint[];
BEGIN
    -- all of a statement's changes at once, so that words can be swapped
    SELECT array_agg(o.alert_text), array_agg(n.alert_text) INTO v_old, v_new
      FROM old_words AS o
      JOIN new_words AS n ON n.alert_code = o.alert_code AND n.alert_text <> o.alert_text;
    UPDATE job_log SET status = v_new[array_position(v_old, status)] WHERE status = ANY (v_old) AND end_time IS NOT NULL;
    UPDATE job_detail SET status = v_new[array_position(v_old, status)] WHERE status = ANY (v_old);
    -- Now the runs that have ended meanwhile. With this lock, no other run can end before COMMIT, and after that it gets the new word.
    LOCK TABLE job_log IN SHARE ROW EXCLUSIVE MODE;
    WITH changed AS (
        UPDATE job_log
           SET status = v_new[array_position(v_old, status)]
         WHERE status = ANY (v_old)
           AND end_time IS NOT NULL
           AND xmin <> v_changed
     RETURNING job_id
    )
    SELECT array_agg(job_id) INTO v_runs FROM changed;
    UPDATE job_detail
       SET status = v_new[array_position(v_old, status)]
     WHERE status = ANY (v_old)
       AND job_id = ANY (v_runs)
       AND xmin <> v_changed;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @schema@.job_status_text_renamed() IS
    'Trigger of job_status_text: changes a changed word in job_log and job_detail too, which takes a while if the log is long.';
