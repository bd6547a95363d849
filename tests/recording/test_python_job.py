"""check_jobmon.job: what it logs, and what it leaves to its caller."""
# What a job does to its body, and the body to its job, takes more than one statement in a block.
# ruff: noqa: PT012, SIM117

import asyncio
import contextlib
import inspect
import logging
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import check_jobmon
from check_jobmon.recording.past_run import PastRun
from check_jobmon.recording.python_job import Step
from check_jobmon.recording.recorder import Recorder
from check_jobmon.text import storable
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


@pytest.mark.parametrize("end", [SystemExit(0), SystemExit(), ValueError("caught"), None], ids=repr)
def test_a_warning_once_given_stays(conninfo: str, session: psycopg.Connection, end: BaseException | None) -> None:
    with contextlib.suppress(ValueError, SystemExit), check_jobmon.job("etl", conninfo) as job:
        with contextlib.suppress(ValueError), job.step("load") as step:
            step.warn("3 rows rejected")
            step.message = "45 rows"
            if end is not None:
                raise end
    assert session.execute(RUNS).fetchall() == [("ETL", "WARNING")]
    status = "CRITICAL" if isinstance(end, ValueError) else "WARNING"
    assert value(session, "SELECT status FROM jobmon.job_detail") == status


def test_a_job_that_is_entered_again_starts_afresh(conninfo: str, session: psycopg.Connection) -> None:
    job = check_jobmon.job("etl", conninfo)
    with pytest.raises(RuntimeError, match="no run of etl is under way"), job.step("too early"):
        pass
    with pytest.raises(ValueError, match="x"), job:
        raise ValueError("x")
    with job:
        with pytest.raises(RuntimeError, match="a run of etl is under way"), job:
            pass
    with job, job.step("load") as step:
        step.warn("late")
    with job:
        pass
    with pytest.raises(RuntimeError, match="no run of etl is under way"), job.step("too late"):
        pass
    assert [status for _, status in session.execute(RUNS).fetchall()] == ["CRITICAL", "OK", "WARNING", "OK"]


def _fork(conninfo: str, end: int) -> int:
    """The job_id of a run from which a child is forked off that unwinds with this exit status, or an exception."""
    with check_jobmon.job("etl", conninfo) as job, job.step("load") as step:
        child = os.fork()
        if child == 0:
            with job.step("of the child") as own:
                own.warn("not logged")
            if end > 1:
                raise ValueError("of the child")
            sys.exit(end)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == end
        step.message = "42 rows"
    return job.job_id


@pytest.mark.parametrize("end", [0, 1, 3])
def test_only_the_process_that_began_a_run_logs_it(conninfo: str, session: psycopg.Connection, end: int) -> None:
    parent = os.getpid()
    try:
        _fork(conninfo, end)
    except SystemExit as ended:
        assert os.getpid() != parent
        os._exit(int(str(ended.code)))
    except ValueError:
        os._exit(3)
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]
    assert session.execute(STEPS).fetchall() == [("load", "OK", "42 rows")]


def _in_a_pool(number: int) -> int:
    return number * number


def test_a_pool_of_forked_processes_is_no_obstacle(conninfo: str, session: psycopg.Connection) -> None:
    with check_jobmon.job("etl", conninfo) as job:
        with multiprocessing.get_context("fork").Pool(2) as pool, job.step("square") as step:
            step.message = pool.map(_in_a_pool, range(4))
    assert session.execute(STEPS).fetchall() == [("square", "OK", "[0, 1, 4, 9]")]
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]


class _Unsayable:
    """Raises at whatever one does to make a text of it."""

    def __str__(self) -> str:
        raise LookupError("no text")

    __repr__ = __bool__ = __len__ = __iter__ = __str__


class _Text(str):
    def encode(self, *_: object) -> bytes:
        raise LookupError("no bytes")


HOSTILE: dict[str, Any] = {
    "None": None,
    "number": 42,
    "false": False,
    "bytes": b"\xff\0",
    "nul": "a\0b",
    "byte": "caf\udce9",
    "surrogate": "\ud800",
    "utf-8 in ASCII": "caf\udcc3\udca9",
    "quotes": "'\"\\ %s {schema} @schema@ $$",
    "unsayable": _Unsayable(),
    "subclass": _Text("sub"),
    "exception": ValueError("caf\udce9"),
    "syntax error": SyntaxError("x", ("caf\udce9", 1, 1, None)),
    "list": ["\0"],
    "long": "x" * 200_000,
    "blank": " ",
}
"""What may come where a text is meant."""


@pytest.mark.parametrize("thing", HOSTILE.values(), ids=HOSTILE)
def test_nothing_that_is_to_be_logged_disturbs_the_body(
    conninfo: str, session: psycopg.Connection, caplog: pytest.LogCaptureFixture, thing: Any
) -> None:
    boom = ValueError(thing)
    done = []
    with pytest.raises(ValueError) as raised, check_jobmon.job("etl", conninfo) as job:  # noqa: PT011
        with job.step(thing) as step:
            step.message = thing
        with job.step(thing) as step:
            step.warn(thing)
        done.append(thing)
        with job.step("load") as step:
            step.message = thing
            raise boom
    assert raised.value is boom
    assert (len(done), job.log_error, caplog.records) == (1, None, [])
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")]
    text = storable(thing)
    (one, two, three) = session.execute(STEPS).fetchall()
    assert (one[1:], two[1:]) == (("OK", text[:4000]), ("WARNING", text[:4000]))
    assert three[2].startswith(text[:4000])
    for action, _, _ in (one, two):
        assert action == text or len(text) > 65536


def _texts(function: Any) -> list[str]:
    """The parameters of a function that take a text, or an object for one."""
    return [p.name for p in inspect.signature(function).parameters.values() if p.annotation in (str, object)]


METHODS = [
    (cls, name)
    for cls in (Recorder, check_jobmon.job, Step)
    for name, function in vars(cls).items()
    if inspect.isfunction(function) and not name.startswith("_") and _texts(function)
]


def test_every_method_that_takes_a_text_takes_any_object(database: Database, conninfo: str) -> None:
    assert len(METHODS) == 5
    for thing in HOSTILE.values():
        with Recorder(database.parameters) as recorder, check_jobmon.job("other", conninfo) as job:
            owners = {Recorder: recorder, check_jobmon.job: job, Step: Step()}
            run = recorder.add_job("etl")
            known = {"job_id": run, "step_id": recorder.add_step(run, "load"), "alert_code": 1}
            for cls, name in METHODS:
                method = getattr(owners[cls], name)
                given = {name: known.get(name, thing) for name in inspect.signature(method).parameters}
                # what can't be a job's name is refused by the server
                with contextlib.suppress(psycopg.errors.DataError):
                    done = method(**given)
                    if isinstance(done, contextlib.AbstractContextManager):
                        with done:
                            pass
            text = storable(thing)
            past = PastRun("here", text, "2024-01-01", "2024-01-02", 1, text, text)
            with contextlib.suppress(psycopg.errors.DataError):
                recorder.add_past_run(past)
        assert job.log_error is None


@pytest.mark.parametrize("cls", [Recorder, check_jobmon.job])
def test_where_the_log_is_may_be_said_by_any_object(database: Database, conninfo: str, cls: type) -> None:
    good = {"parameters": database.parameters} if cls is Recorder else {"name": "etl", "conninfo": conninfo}
    for name in [*_texts(cls), "application_name", "user", "sslmode"]:
        for thing in HOSTILE.values():
            if cls is Recorder and name not in inspect.signature(cls).parameters:
                given: dict[str, Any] = {"parameters": {**database.parameters, name: thing}}
            else:
                given = {**good, name: thing}
            with contextlib.suppress(psycopg.Error), cls(**given):
                pass


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


def test_a_log_that_is_lost_is_said_and_costs_the_body_nothing(
    database: Database, session: psycopg.Connection, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    conninfo = make_conninfo("", **{**database.parameters, "user": role})
    done = []
    with check_jobmon.job("etl\n", conninfo) as job:
        with job.step("load"):
            session.execute("ALTER ROLE job_logger NOLOGIN")
            _cut(session)
        with job.step("index"):
            done.append("index")
        done.append("all")
    assert done == ["index", "all"]
    assert isinstance(job.log_error, psycopg.OperationalError)
    ((logger, level, message),) = caplog.record_tuples
    assert (logger, level) == ("check_jobmon", logging.WARNING)
    assert message.startswith(f"run {job.job_id} of etl is not logged to its end: connection")
    assert message.endswith('role "job_logger" is not permitted to log in')


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


def test_a_job_that_need_not_be_logged_runs_without_its_log_and_says_so_once(
    conninfo: str, session: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    done = []
    for name in ("etl", "load"):
        with check_jobmon.job(name, host="127.0.0.1", port=1, required=False) as job:
            with pytest.raises(RuntimeError, match="is under way"), job:
                pass
            with job.step("load") as step:
                step.message = "42 rows"
                done.append(name)
            with contextlib.suppress(LookupError), job.step("index"):
                raise LookupError
        assert (job.job_id, type(job.log_error)) == (0, psycopg.OperationalError)
        with pytest.raises(RuntimeError, match="no run of"), job.step("too late"):
            pass
    assert done == ["etl", "load"]
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(": ")[0] for message in messages] == [
        "etl runs without being logged",
        "load runs without being logged",
    ]
    assert messages[0].startswith("etl runs without being logged: connection")
    with check_jobmon.job("etl", conninfo, required=False) as job:
        pass
    assert (job.job_id, job.log_error) == (1, None)
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]
    with pytest.raises(psycopg.Error, match="a job needs a name"), check_jobmon.job(" ", conninfo, required=False):
        done.append("body")
    with pytest.raises(ValueError, match=r"^lock=True needs the log, so it can't be with required=False: choose"):
        check_jobmon.job("etl", conninfo, lock=True, required=False)
    assert len(done) == 2


def test_a_job_with_a_lock_is_not_run_twice_at_the_same_time(conninfo: str, session: psycopg.Connection) -> None:
    done = []
    with check_jobmon.job("nightly etl", conninfo, lock=True) as first:
        pid = value(session, "SELECT pid FROM jobmon.job_log")
        said = f"job {first.job_id} (pid {pid}) is under way"
        refused = f"^run 2 of Nightly ETL was not run: {re.escape(said)}$"
        with pytest.raises(check_jobmon.JobLocked, match=refused), check_jobmon.job("Nightly ETL", conninfo, lock=True):
            done.append("body")
        assert said in value(session, "SELECT jobmon.sql_job('nightly etl', 'SELECT')")
    assert done == []
    refusal = ("see that the job is not already running", "WARNING", f"not run: {said}")
    assert session.execute(STEPS).fetchall() == [refusal, refusal]
    with check_jobmon.job("nightly etl", conninfo, lock=True):
        pass
    assert [status for _, status in session.execute(RUNS).fetchall()] == ["OK", "WARNING", "WARNING", "OK"]


def test_a_lock_that_is_lost_with_its_session_is_taken_again(
    conninfo: str, session: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM jobmon.job_lock"
    gone = "SELECT NOT EXISTS (SELECT FROM jobmon.job_lock JOIN pg_stat_activity USING (pid))"
    other = check_jobmon.job("etl", conninfo, lock=True)
    with check_jobmon.job("etl", conninfo, lock=True) as job:
        with job.step("load"):
            session.execute(cut.encode())
            until(lambda: value(session, gone))
        with pytest.raises(check_jobmon.JobLocked), other:
            pass
        with job.step("index"):
            session.execute(cut.encode())
            until(lambda: value(session, gone))
            other.__enter__()
    other.__exit__(None, None, None)
    assert job.log_error is None
    assert [r.getMessage().partition(" (pid")[0] for r in caplog.records] == [
        f"the session that had the lock of etl was lost, and now job {other.job_id}"
    ]


def test_a_reader_who_has_enough_of_a_generator_fails_no_job(conninfo: str, session: psycopg.Connection) -> None:
    def numbers() -> Iterator[int]:
        with check_jobmon.job("etl", conninfo) as job, job.step("count"):
            yield from range(10)

    for number in numbers():
        if number == 3:
            break
    until(lambda: value(session, "SELECT count(*) FROM jobmon.job_log WHERE end_time IS NULL") == 0)
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]
    assert session.execute(STEPS).fetchall() == [("count", "OK", "")]


def test_a_decorated_function_is_a_job(conninfo: str, session: psycopg.Connection) -> None:
    @check_jobmon.logged("nightly etl", conninfo, warn_on=KeyError)
    def load(facts: dict[str, int], *, key: str) -> int:
        """Loads."""
        return facts[key]

    assert (load({"a": 1}, key="a"), load.__doc__) == (1, "Loads.")
    with pytest.raises(KeyError):
        load({}, key="a")
    assert session.execute(RUNS).fetchall() == [("NIGHTLY ETL", "OK"), ("NIGHTLY ETL", "WARNING")]
    name = "test_a_decorated_function_is_a_job.<locals>.load"
    assert session.execute(STEPS).fetchall() == [(name, "OK", ""), (name, "WARNING", "KeyError: 'a'")]


def test_a_decorated_coroutine_function_is_a_job(conninfo: str, session: psycopg.Connection) -> None:
    @check_jobmon.logged("nightly etl", conninfo)
    async def load(number: int) -> int:
        await asyncio.sleep(0)
        assert value(session, "SELECT count(*) > 0 FROM jobmon.job_log WHERE end_time IS NULL")
        return 10 // number

    async def main() -> list[Any]:
        return list(await asyncio.gather(load(5), load(0), load(2), return_exceptions=True))

    two, failed, five = asyncio.run(main())
    assert (two, five, type(failed)) == (2, 5, ZeroDivisionError)
    assert sorted(status for _, status in session.execute(RUNS).fetchall()) == ["CRITICAL", "OK", "OK"]


def test_what_is_no_function_with_a_name_for_its_job_is_refused(conninfo: str) -> None:
    def load() -> Iterator[int]:
        yield 1

    async def load_async() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(
        TypeError, match=r'^logged\(\) needs the job.s name: @check_jobmon.logged\("NIGHTLY ETL", conninfo'
    ):
        check_jobmon.logged(load)
    for function in (load, load_async):
        with pytest.raises(TypeError, match=r"a call of .*load.* only makes a generator: use job\(\) within it"):
            check_jobmon.logged("etl", conninfo)(function)


def test_an_asynchronous_job_lets_the_event_loop_go_on(conninfo: str, session: psycopg.Connection) -> None:
    async def step(job: check_jobmon.async_job, number: int, together: list[int]) -> None:
        async with job.step(f"step {number}") as step:
            together.append(number)
            while len(together) < 5:
                await asyncio.sleep(0.001)
            step.message = str(number)
            if number == 3:
                step.warn("3 rows rejected")

    async def main() -> None:
        job = check_jobmon.async_job("etl", conninfo, lock=True)
        with pytest.raises(RuntimeError, match="no run of etl is under way"):
            async with job.step("too early"):
                pass
        async with job:
            with pytest.raises(check_jobmon.JobLocked):
                async with check_jobmon.async_job("etl", conninfo, lock=True):
                    pass
            together: list[int] = []
            await asyncio.gather(*(step(job, number, together) for number in range(5)))
        assert session.execute("SELECT status FROM jobmon.job_log WHERE job_id = %s", [job.job_id]).fetchall() == [
            ("WARNING",)
        ]
        with pytest.raises(ValueError, match="x"):
            async with check_jobmon.async_job("load", conninfo) as job, job.step("fail"):
                raise ValueError("x")
        assert job.log_error is None

    asyncio.run(main())
    steps = sorted(session.execute(STEPS + " DESC LIMIT 6").fetchall())
    assert steps[0] == ("fail", "CRITICAL", "ValueError: x")
    assert [step[1:] for step in steps[1:]] == [
        ("WARNING", "3 rows rejected") if number == 3 else ("OK", str(number)) for number in range(5)
    ]
    assert [status for _, status in session.execute(RUNS).fetchall()] == ["WARNING", "WARNING", "CRITICAL"]


def test_nothing_stays_open_whenever_an_asynchronous_job_is_cancelled(
    conninfo: str, session: psycopg.Connection
) -> None:
    async def work() -> None:
        async with check_jobmon.async_job("etl", conninfo) as job:
            for action in ("load", "index"):
                async with job.step(action):
                    await asyncio.sleep(0.01)

    async def main() -> None:
        for number in range(30):
            task = asyncio.create_task(work())
            await asyncio.sleep(number * 0.002)
            task.cancel()
            if number % 2:
                await asyncio.sleep(0.001)
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())
    until(lambda: value(session, "SELECT count(*) FROM jobmon.job_log WHERE end_time IS NULL") == 0)
    assert value(session, "SELECT count(*) FROM jobmon.job_detail WHERE end_time IS NULL") == 0
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    until(lambda: value(session, others) == 0)


def test_the_docstrings_example_works(conninfo: str, session: psycopg.Connection) -> None:
    import doctest

    from check_jobmon.recording import python_job

    (example,) = (test for test in doctest.DocTestFinder().find(python_job.job, "job") if test.examples)
    names: dict[str, object] = {}
    exec("".join(part.source for part in example.examples), names)
    nightly = names["nightly"]
    assert callable(nightly)
    nightly(conninfo)
    assert session.execute(RUNS).fetchall() == [("NIGHTLY ETL", "OK")]
    assert session.execute(STEPS).fetchall() == [("load facts", "OK", "42 rows"), ("refresh the cube", "OK", "")]


def test_it_costs_the_plugin_nothing() -> None:
    code = (
        "import sys, check_jobmon.plugin.cli; print('check_jobmon.recording' in sys.modules, 'psycopg' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False False\n"
    )
    code = (
        "import check_jobmon as c, check_jobmon.recording.python_job as r; print(c.job is r.job, hasattr(c, 'nothing'))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "True False\n"
    )
