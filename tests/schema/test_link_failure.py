"""jobmon.on_link_failure: whether a job goes on that can't be logged."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from tests.database import Database, until, value

WARNED = "the job goes on, but is not logged: "


class Job(psycopg.Connection):
    """A job's session, which keeps what the server has warned of."""

    warnings: list[str]


@pytest.fixture
def job(database: Database) -> Iterator[Job]:
    """A session of a role that logs."""
    with database.connect() as admin:
        admin.execute("CREATE ROLE etl_failing LOGIN IN ROLE jobmon_log; CREATE SCHEMA etl AUTHORIZATION etl_failing")
    with Job.connect(**{**database.parameters, "user": "etl_failing"}, autocommit=True) as job:
        job.warnings = []
        job.add_notice_handler(lambda notice: job.warnings.append(f"{notice.severity}: {notice.message_primary}"))
        job.execute("CREATE TABLE etl.facts (id integer)")
        yield job
    with database.connect() as admin:
        admin.execute("DROP OWNED BY etl_failing; DROP ROLE etl_failing")


def _break(session: psycopg.Connection, allowed: bool = False) -> None:
    """Let no link connect any more, and end those there are; or allow it again."""
    session.execute("DELETE FROM jobmon.dblink_mapping")
    if not allowed:
        session.execute("INSERT INTO jobmon.dblink_mapping (port) VALUES ('1')")
        links = "FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, 'jobmon link of ')"
        session.execute(f"SELECT pg_terminate_backend(pid) {links}".encode())
        until(lambda: value(session, f"SELECT count(*) {links}") == 0)


BLOCK = """
    DO $$
    DECLARE
        v_job  bigint := jobmon.add_job('nightly etl');
        v_step bigint;
    BEGIN
        v_step := jobmon.add_step(v_job, 'load');
        INSERT INTO etl.facts VALUES (1);
        PERFORM jobmon.update_step(v_step, 'OK', '1 row');
        IF jobmon.sql_step(v_job, 'more', 'INSERT INTO etl.facts VALUES (2)') THEN
            PERFORM jobmon.close_job(v_job);
        ELSE
            PERFORM jobmon.fail_job(v_job);
        END IF;
    END
    $$
"""


@pytest.mark.parametrize("setting", [None, "error", "ERROR", ""])
def test_a_job_that_cannot_be_logged_is_an_error_unless_told_otherwise(
    session: psycopg.Connection, job: Job, setting: str | None
) -> None:
    _break(session)
    if setting is not None:
        job.execute(f"SET jobmon.on_link_failure = '{setting}'".encode())
    with pytest.raises(errors.SqlclientUnableToEstablishSqlconnection):
        job.execute(BLOCK)
    assert value(job, "SELECT count(*) FROM etl.facts") == 0
    assert job.warnings == []


def test_with_warning_it_goes_on_and_says_so_once(session: psycopg.Connection, job: Job) -> None:
    _break(session)
    job.execute("SET jobmon.on_link_failure = warning")
    for runs in (1, 2):
        job.execute(BLOCK)
        assert value(job, "SELECT count(*) FROM etl.facts") == 2 * runs
        assert len(job.warnings) == runs
        assert job.warnings[-1].startswith(f"WARNING: {WARNED}the job log's link can't connect")
    _break(session, allowed=True)
    job.execute(BLOCK)
    assert len(job.warnings) == 2
    assert session.execute("SELECT job_name, status FROM jobmon.job_log").fetchall() == [("NIGHTLY ETL", "OK")]


def test_sql_job_goes_on_and_still_says_how_it_ended(session: psycopg.Connection, job: Job) -> None:
    _break(session)
    job.execute("SET jobmon.on_link_failure = warning")
    assert (
        value(job, "SELECT jobmon.sql_job('etl', 'INSERT INTO etl.facts VALUES (1)')") == "job 0 (ETL) was successful"
    )
    assert value(job, "SELECT jobmon.sql_job('etl', 'SELECT 1 / 0')") == "job 0 (ETL) failed"
    with pytest.raises(errors.DivisionByZero):
        job.execute("SELECT jobmon.sql_job('etl', 'SELECT 1 / 0', p_raise => true)")
    assert value(job, "SELECT count(*) FROM etl.facts") == 1
    assert len(job.warnings) == 3


@pytest.mark.parametrize("keep_link", ["off", "on"])
def test_a_link_that_is_lost_in_the_middle_is_warned_of_once(
    session: psycopg.Connection, job: Job, keep_link: str
) -> None:
    job.execute(f"SET jobmon.on_link_failure = warning; SET jobmon.keep_link = {keep_link}".encode())
    for _ in range(2):
        job.warnings.clear()
        run = value(job, "SELECT jobmon.add_job('etl')")
        step = value(job, "SELECT jobmon.add_step(%s, 'load')", run)
        _break(session)
        job.execute("SELECT jobmon.update_step(%s, 'OK', '')", [step])
        assert value(job, "SELECT jobmon.add_step(%s, 'index')", run) == 0
        job.execute("SELECT jobmon.update_step(0, 'OK', '')")
        assert len(job.warnings) == 1
        assert run != 0, job.warnings
        _break(session, allowed=True)
        job.execute("SELECT jobmon.close_job(%s)", [run])
        assert len(job.warnings) == 1
    assert value(session, "SELECT array_agg(status) FROM jobmon.job_log") == ["OK", "OK"]


def test_a_transaction_that_keeps_the_log_from_being_written_goes_on(
    database: Database, session: psycopg.Connection
) -> None:
    with database.connect(autocommit=False) as caller:
        caller.execute("SET jobmon.on_link_failure = warning; LOCK TABLE jobmon.job_log IN EXCLUSIVE MODE")
        assert value(caller, "SELECT jobmon.add_job('etl')") == 0
        caller.execute("SELECT jobmon.close_job(0)")


def test_a_wrong_call_is_an_error_all_the_same(job: Job) -> None:
    job.execute("SET jobmon.on_link_failure = warning")
    for call in ("add_job(' ')", "add_step(4711, 'x')", "close_job(NULL)", "update_step(4711, 'OK', '')"):
        with pytest.raises(psycopg.Error):
            job.execute(f"SELECT jobmon.{call}".encode())
    assert job.warnings == []


def test_what_is_neither_is_said_and_counts_as_error(session: psycopg.Connection, job: Job) -> None:
    _break(session)
    job.execute("SET jobmon.on_link_failure = warn")
    with pytest.raises(errors.SqlclientUnableToEstablishSqlconnection):
        job.execute("SELECT jobmon.add_job('etl')")
    assert job.warnings == ['WARNING: jobmon.on_link_failure is "warn", which is treated as "error"']


def test_what_does_not_belong_to_a_run_is_an_error_all_the_same(session: psycopg.Connection) -> None:
    _break(session)
    session.execute("SET jobmon.on_link_failure = warning")
    run = "gen_random_uuid(), 'etl', now(), now(), 1, 'load', ''"
    for call in ("job_log_clear('1 year')", f"add_past_run({run})"):
        with pytest.raises(errors.SqlclientUnableToEstablishSqlconnection):
            session.execute(f"SELECT jobmon.{call}".encode())


def test_a_command_s_run_is_kept_in_the_spool_whatever_the_role_has_set(
    database: Database, session: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spool = tmp_path_factory.mktemp("spool")
    _break(session)
    session.execute(f"ALTER DATABASE {database.name} SET jobmon.on_link_failure = warning".encode())
    done = database.ctl("run", "etl", "--spool", str(spool), "--", "true")
    assert done.status == 0
    assert "its log is kept in" in done.stderr
    _break(session, allowed=True)
    assert database.ctl("run", "--deliver", "--spool", str(spool)).stdout == "runs delivered: 1\n"
