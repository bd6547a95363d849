-- A run belongs to the role that started it: who has cancelled a run, and which run holds a job's lock, are no longer read from the texts
-- of steps; and functions of version 4 that other roles could call are dropped.

CREATE TABLE @schema@.cancelled_job (
    job_id       bigint PRIMARY KEY REFERENCES @schema@.job_log ON DELETE CASCADE,
    step_id      bigint NOT NULL,
    cancelled_by text NOT NULL,
    ended        boolean NOT NULL
);
CREATE INDEX cancelled_job_step_id_idx ON @schema@.cancelled_job (step_id);
COMMENT ON TABLE @schema@.cancelled_job IS
    'The runs that cancel_job() has ended: they stay failed, whatever their sessions say of them afterwards.';
COMMENT ON COLUMN @schema@.cancelled_job.step_id IS 'the step whose message has the note';
COMMENT ON COLUMN @schema@.cancelled_job.ended IS
    'whether the run has been ended by close_job() or fail_job() as well: until then its session may still be at work';

-- Cancelled runs whose session may still exist. For all others, the message of the step is enough.
INSERT INTO @schema@.cancelled_job (job_id, step_id, cancelled_by, ended)
     SELECT DISTINCT ON (l.job_id) l.job_id, d.step_id, substring(d.message FROM '^cancelled by ([^;]*)'), true
       FROM @schema@.job_log AS l
       JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
       JOIN @schema@.job_detail AS d ON d.job_id = l.job_id
      WHERE l.end_time IS NOT NULL
        AND coalesce(a.backend_start <= l.start_time, true)
        AND starts_with(d.message, 'cancelled by ')
      ORDER BY l.job_id, d.step_id DESC;

CREATE TABLE @schema@.job_lock (
    job_name text PRIMARY KEY,
    job_id   bigint NOT NULL UNIQUE REFERENCES @schema@.job_log ON DELETE CASCADE
);
COMMENT ON TABLE @schema@.job_lock IS
    'The run that sql_job() or jobmonctl run --lock last started of a job: while it is under way, no other is.';
REVOKE ALL ON @schema@.cancelled_job, @schema@.job_lock FROM PUBLIC;

ALTER TABLE @schema@.job_status_text
    ADD CONSTRAINT job_status_text_length CHECK (length(alert_text) <= 100) NOT VALID;

DROP ROUTINE IF EXISTS @schema@.link_add_job(bigint, text, text, integer, text);
DROP ROUTINE IF EXISTS @schema@.link_add_past_run(text[], text);
DROP ROUTINE IF EXISTS @schema@.link_add_step(bigint, bigint, text);
DROP ROUTINE IF EXISTS @schema@.link_call(text);
DROP ROUTINE IF EXISTS @schema@.link_cancel_job(bigint, text, text);
DROP ROUTINE IF EXISTS @schema@.link_clear(bigint, text, bigint, bigint, text);
DROP ROUTINE IF EXISTS @schema@.link_end_job(bigint, integer);
DROP ROUTINE IF EXISTS @schema@.link_next_job_id();
DROP ROUTINE IF EXISTS @schema@.link_next_step_id();
DROP ROUTINE IF EXISTS @schema@.link_run(text);
DROP ROUTINE IF EXISTS @schema@.link_update_step(bigint, text, text);
DROP ROUTINE IF EXISTS @schema@.sql_job_holder(bigint);
DROP ROUTINE IF EXISTS @schema@.sql_job_under_way(text, integer);
