-- The check as a relation, with the columns of job_status.sql in the same order.
CREATE OR REPLACE FUNCTION @schema@.check_jobs() RETURNS TABLE (
    job_name            text,
    configured          boolean,
    active              boolean,
    alert_code          integer,
    failed_code         integer,
    missing_code        integer,
    duration_code       integer,
    missing_status      text,
    failures            integer,
    sensitivity         integer,
    age                 double precision,
    warn_after          double precision,
    error_after         double precision,
    duration            double precision,
    done_job_id         bigint,
    done_end            text,
    status              text,
    alive_job_id        bigint,
    alive_pid           integer,
    alive_start         text,
    unverified          boolean,
    alive_for           double precision,
    crashed_job_id      bigint,
    crashed_start       text,
    blocker_pid         integer,
    blocker_user        text,
    blocker_application text,
    blocker_since       text,
    blocked_for         double precision,
    failed_action       text,
    failed_message      text,
    upper_name          text,
    expected_for        double precision,
    owner               text,
    description         text,
    runbook             text,
    failed_client       text,
    alive_client        text,
    crashed_client      text,
    schedule            text,
    timezone            text,
    due                 text,
    late                double precision,
    duration_status     text,
    slow_is_running     boolean,
    judged_duration     double precision,
    duration_limit      double precision,
    usual_duration      double precision,
    cause               text,
    cause_status        text,
    cause_since         text,
    depends_on          text,
    depends_wrongly     text,
    silence_id          bigint,
    silenced_until      text,
    silenced_by         text,
    silence_reason      text
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, @schema@, pg_temp
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET jit = off
AS $$
SELECT *
  FROM (
@job_status@
       ) AS j
 ORDER BY j.alert_code DESC, j.job_name
$$;
COMMENT ON FUNCTION @schema@.check_jobs() IS
'A row for each job that is monitored, judged as check_jobmon does; check_job_status() says the same in one row.
Monitored are the jobs of job_check_config, and those that have failed since their last success or have an open run.
Times are texts in the session''s time zone. Unknown is NULL.
job_name: the job''s name, as in job_log
configured: whether job_check_config has a row for it
active: whether it is watched; a job that is not active never alerts
alert_code: the state of the job, from the next three columns, its dependencies and silences: 1 OK, 2 warning, 3 critical
failed_code: the code for its failures
missing_code: the code for not having run in time, even if it waits for another job
duration_code: the code for a run that was too slow or too fast
missing_status: if missing_code is not 1: MISSING, RUNNING (for too long), BLOCKED, or UNKNOWN if its schedule can''t be read
failures: how many times it has failed in a row; a number more than @uncounted@ above sensitivity and escalate means: at least so many
sensitivity: how many failures in a row are tolerated
age: seconds since the end of the last completed run, or since the start of the run under way
warn_after: seconds after which a job that has not run is a warning
error_after: seconds after which it is critical
duration: seconds that the last completed run took
done_job_id: job_id of the last completed run
done_end: when that run ended
status: how that run ended: a word of job_status_text
alive_job_id: job_id of the run that is under way
alive_pid: the pid of its backend; negative if that is on another server, or if another scheduler runs the job
alive_start: when it started
unverified: whether it can''t be determined here if its backend still exists
alive_for: seconds since it started
crashed_job_id: job_id of a run that has crashed (its backend is gone), if it is later than the last completed run
crashed_start: when that run started
blocker_pid: the pid of the session that blocks the run under way, if the job is missing; 0 is a prepared transaction
blocker_user: the role of that session
blocker_application: its application_name
blocker_since: when its transaction began
blocked_for: seconds for which the run has waited
failed_action: the step that says why the job failed last
failed_message: the message of that step
upper_name: the name in upper case, if job_name isn''t upper case: no run can match such a row of job_check_config
expected_for: seconds since job_check_config.since, if no run has ever completed
owner: whom to ask about the job, from job_check_config
description: what the job does, from job_check_config
runbook: URL of a page that says what to do, from job_check_config
failed_client: the process that ran the job when it last failed, if that was not a backend: on db7, pid 4711
alive_client: the same for the run under way
crashed_client: the same for the run that has crashed
schedule: when the job is to run, from job_check_config
timezone: the time zone of the schedule
due: when the next run after the last one is due by the schedule
late: seconds since it was due; negative if it is not due yet
duration_status: if duration_code is not 1: SLOW or FAST
slow_is_running: whether the run under way is the slow one
judged_duration: seconds that the slow or fast run has taken
duration_limit: the limit in seconds that judged_duration is compared with
usual_duration: the seconds that the job usually takes, if slow_factor makes it slow
cause: the job that a missing job waits for, so that it doesn''t count as missing
cause_status: the state of that job: missing, failed or running
cause_since: since when it is in that state
depends_on: the job that has to run before, from job_check_config
depends_wrongly: what is wrong with depends_on: circle, or unknown if that job is not configured
silence_id: the silence because of which the job''s alert_code is 1
silenced_until: when the silence ends
silenced_by: the role that created it
silence_reason: why it was created';
