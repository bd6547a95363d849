"""check_jobmon.job: what it logs, and what it leaves to its caller."""
# What a job does to its body, and the body to its job, takes more than one statement in a block.
# ruff: noqa: PT012, SIM117

import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import check_jobmon
from tests.database import Database, until, value

RUNS = "SELECT job_name, status FROM jobmon.job_log ORDER BY job_id"
STEPS = "SELECT action, status, message FROM jobmon.job_detail ORDER BY step_id"


@pytest.fixture
def conninfo(database: Database) -> str:
    """The test's database as a connection string."""
    return make_conninfo("", **database.parameters)


def test_a_body_that_goes_well_is_a_run(conninfo: str, session: psycopg.Connection) -> None:
    with check_jobmon.job("nightly etl", conninfo) as job:
        assert session.execute("SELECT job_id, status FROM jobmon.job_log").fetchall() == [(job.job_id, None)]
        with job.step("load") as step:
            assert session.execute(STEPS).fetchall() == [("load", None, None)]
            step.message = "42 rows"
        with job.step("index"):
            pass
    assert session.execute(RUNS).fetchall() == [("NIGHTLY ETL", "OK")]
    assert session.execute(STEPS).fetchall() == [("load", "OK", "42 rows"), ("index", "OK", "")]


def test_an_exception_fails_step_and_job_and_is_raised_on(conninfo: str, session: psycopg.Connection) -> None:
    error = ValueError("no facts\tin staging")
    with pytest.raises(ValueError, match="no facts") as raised, check_jobmon.job("etl", conninfo) as job:
        with job.step("load") as step:
            step.message = "3 files"
            raise error
    assert raised.value is error
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")]
    assert session.execute(STEPS).fetchall() == [("load", "CRITICAL", "3 files; ValueError: no facts\tin staging")]


def test_an_exception_outside_of_a_step_is_logged_too(conninfo: str, session: psycopg.Connection) -> None:
    with pytest.raises(KeyError), check_jobmon.job("etl", conninfo) as job:
        with job.step("load"):
            pass
        raise KeyError("x")
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")]
    assert session.execute(STEPS).fetchall() == [
        ("load", "OK", ""),
        ("outside of any step", "CRITICAL", "KeyError: 'x'"),
    ]


def test_an_exception_of_warn_on_is_a_warning(conninfo: str, session: psycopg.Connection) -> None:
    with pytest.raises(TimeoutError), check_jobmon.job("etl", conninfo, warn_on=(KeyError, OSError)) as job:
        with job.step("fetch"):
            raise TimeoutError("the partner sleeps")
    assert session.execute(RUNS).fetchall() == [("ETL", "WARNING")]
    assert session.execute(STEPS).fetchall() == [("fetch", "WARNING", "TimeoutError: the partner sleeps")]


def test_a_warning_lets_the_body_go_on(conninfo: str, session: psycopg.Connection) -> None:
    with check_jobmon.job("etl", conninfo) as job:
        with job.step("load") as step:
            step.warn("3 rows rejected")
        with job.step("index"):
            pass
    assert session.execute(RUNS).fetchall() == [("ETL", "WARNING")]
    assert session.execute(STEPS).fetchall() == [("load", "WARNING", "3 rows rejected"), ("index", "OK", "")]


def test_an_exception_that_is_caught_fails_its_step_only(conninfo: str, session: psycopg.Connection) -> None:
    with check_jobmon.job("etl", conninfo) as job:
        try:
            with job.step("first way"):
                raise OSError("closed")
        except OSError:
            with job.step("second way"):
                pass
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]
    assert [status for _, status, _ in session.execute(STEPS).fetchall()] == ["CRITICAL", "OK"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "CRITICAL"),
        (SystemExit(1), "CRITICAL"),
        (SystemExit("no"), "CRITICAL"),
        (SystemExit(0), "OK"),
    ],
)
def test_the_end_of_the_program_is_an_end_of_the_job(
    conninfo: str, session: psycopg.Connection, error: BaseException, status: str
) -> None:
    with pytest.raises(type(error)), check_jobmon.job("etl", conninfo) as job, job.step("load"):
        raise error
    assert session.execute(RUNS).fetchall() == [("ETL", status)]
    assert value(session, "SELECT status FROM jobmon.job_detail") == status


def test_the_log_survives_the_callers_rollback(conninfo: str, database: Database, session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE facts (id integer)")
    with database.connect(autocommit=False) as caller:
        with pytest.raises(psycopg.errors.DivisionByZero), check_jobmon.job("etl", conninfo) as job:
            caller.execute("INSERT INTO facts VALUES (1)")
            with job.step("load"):
                caller.execute("SELECT 1 / 0")
        caller.rollback()
    assert value(session, "SELECT count(*) FROM facts") == 0
    assert session.execute(STEPS).fetchall() == [
        ("load", "CRITICAL", "psycopg.errors.DivisionByZero: division by zero")
    ]
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")]


def test_threads_have_a_job_each(conninfo: str, session: psycopg.Connection) -> None:
    together = threading.Barrier(4)

    def work(number: int) -> None:
        with check_jobmon.job(f"etl {number}", conninfo) as job, job.step(f"step {number}") as step:
            together.wait(60)
            step.message = str(number)
            if number % 2:
                step.warn(str(number))

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert session.execute(
        "SELECT l.job_name, l.status, d.action, d.message FROM jobmon.job_log AS l JOIN jobmon.job_detail AS d USING (job_id)"
        " ORDER BY l.job_name"
    ).fetchall() == [(f"ETL {n}", "WARNING" if n % 2 else "OK", f"step {n}", str(n)) for n in range(4)]
    assert value(session, "SELECT count(DISTINCT pid) FROM jobmon.job_log") == 4


def test_it_leaves_no_connection_behind(conninfo: str, session: psycopg.Connection) -> None:
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="x"), check_jobmon.job("etl", conninfo):
            assert value(session, others) >= 1
            raise ValueError("x")
        with pytest.raises(psycopg.Error), check_jobmon.job(" ", conninfo):
            pass
    until(lambda: value(session, others) == 0)


def _cut(session: psycopg.Connection) -> None:
    session.execute("SELECT pg_terminate_backend(pid) FROM jobmon.job_log")
    until(lambda: value(session, "SELECT count(*) FROM jobmon.job_log JOIN pg_stat_activity USING (pid)") == 0)


def test_a_lost_connection_is_made_anew(conninfo: str, session: psycopg.Connection) -> None:
    with check_jobmon.job("etl", conninfo) as job:
        with job.step("load") as step:
            _cut(session)
            step.message = "42 rows"
        with job.step("index"):
            pass
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]
    assert session.execute(STEPS).fetchall() == [("load", "OK", "42 rows"), ("index", "OK", "")]


@pytest.fixture
def role(session: psycopg.Connection) -> Iterator[str]:
    """A role that can be kept out later."""
    session.execute("CREATE ROLE job_logger LOGIN IN ROLE jobmon_log")
    yield "job_logger"
    session.execute("DROP OWNED BY job_logger; DROP ROLE job_logger")


def test_a_log_that_is_lost_is_raised_when_the_body_is_through(
    database: Database, session: psycopg.Connection, role: str
) -> None:
    conninfo = make_conninfo("", **{**database.parameters, "user": role})
    done = []
    with (
        pytest.raises(psycopg.OperationalError, match="not permitted to log in"),
        check_jobmon.job("etl", conninfo) as job,
    ):
        with job.step("load"):
            session.execute("ALTER ROLE job_logger NOLOGIN")
            _cut(session)
        with job.step("index"):
            done.append("index")
        done.append("all")
    assert done == ["index", "all"]


def test_the_bodys_exception_wins_over_that_of_a_lost_log(
    database: Database, session: psycopg.Connection, role: str
) -> None:
    conninfo = make_conninfo("", **{**database.parameters, "user": role})
    with pytest.raises(ValueError, match="mine"), check_jobmon.job("etl", conninfo) as job, job.step("load"):
        session.execute("ALTER ROLE job_logger NOLOGIN")
        _cut(session)
        raise ValueError("mine")


def test_what_the_connection_string_says_holds(conninfo: str, session: psycopg.Connection) -> None:
    with check_jobmon.job("etl", f"{conninfo} application_name=mine"):
        assert value(session, "SELECT application_name FROM jobmon.job_log JOIN pg_stat_activity USING (pid)") == "mine"
    with check_jobmon.job("etl", conninfo, application_name="ours", schema="jobmon") as job:
        name = "SELECT application_name FROM jobmon.job_log JOIN pg_stat_activity USING (pid) WHERE job_id = %s"
        assert value(session, name, job.job_id) == "ours"


def test_where_nothing_can_be_logged_the_body_is_not_run() -> None:
    done = []
    with pytest.raises(psycopg.OperationalError), check_jobmon.job("etl", host="127.0.0.1", port=1):
        done.append("body")
    assert done == []


def test_the_docstrings_example_works(conninfo: str, session: psycopg.Connection) -> None:
    import doctest

    from check_jobmon import recording

    (example,) = (test for test in doctest.DocTestFinder().find(recording.job, "job") if test.examples)
    names: dict[str, object] = {}
    exec("".join(part.source for part in example.examples), names)
    nightly = names["nightly"]
    assert callable(nightly)
    nightly(conninfo)
    assert session.execute(RUNS).fetchall() == [("NIGHTLY ETL", "OK")]
    assert session.execute(STEPS).fetchall() == [("load facts", "OK", "42 rows"), ("refresh the cube", "OK", "")]


def test_it_costs_the_plugin_nothing() -> None:
    code = "import sys, check_jobmon.cli; print('check_jobmon.recording' in sys.modules, 'psycopg' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False False\n"
    )
    code = "import check_jobmon, check_jobmon.recording as r; print(check_jobmon.job is r.job, hasattr(check_jobmon, 'nothing'))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "True False\n"
    )
