"""A run whose session is lost, or that another session cancels: jobmonctl run and check_jobmon.job()."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import check_jobmon
from check_jobmon.demo.server import Server
from tests.ctl.forked import Process
from tests.ctl.test_run import Shell
from tests.database import Database, bootstrap, until, value
from tests.servers import create
from tests.warm import ROOT

HERE = f"on {os.uname().nodename}, pid "
SLEEP = "exec 2>/dev/null; trap 'kill $!; exit 0' TERM; sleep 300 >/dev/null & echo ready; wait"
CLAIMED = """
SELECT count(*) = 1 FROM jobmon.job_log AS l JOIN pg_stat_activity AS a USING (pid)
 WHERE starts_with(a.application_name, 'jobmon run ' || l.job_id || ':')
"""


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """A shell whose jobs are logged in the test's database."""
    return Shell(tmp_path / "check_jobmon" / "spool", database.options)


@pytest.fixture
def own_databases(server: Server) -> Iterator[list[Database]]:
    """A database for each kind of run, on a server that the test may restart."""
    own = Server(server.binaries, {"fsync": "off"})
    try:
        create(own)
        own.start()
        with Database(own, "template1").connect() as session:
            bootstrap(session, "jobmon")
        with Database(own, "postgres").connect() as session:
            for number in range(len(KINDS)):
                session.execute(f"CREATE DATABASE kind_{number}".encode())
        yield [Database(own, f"kind_{number}") for number in range(len(KINDS))]
    finally:
        own.remove()


def _conninfo(database: Database) -> str:
    return psycopg.conninfo.make_conninfo(**database.parameters)


def _python(shell: Shell, database: Database) -> Process:
    """A Python program that runs a job, when its body has begun."""
    process = shell.start([_conninfo(database)], "tests.recording.a_job")
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def _started(shell: Shell, database: Database, kind: str, *options: str) -> Process:
    """A job of either kind, when it is logged and at work."""
    if kind == "python":
        return _python(shell, database)
    process = shell.start(shell.arguments("etl", "sh", "-c", SLEEP, options=options)[1:])
    with database.connect() as session:
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_detail") == 1)
    return process


KINDS = ["run", "run with a lock", "python"]


def _options(kind: str) -> tuple[str, ...]:
    return ("--lock",) if "lock" in kind else ()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_the_database_leaves_a_run_alive(own_databases: list[Database], tmp_path: Path, mode: str) -> None:
    """A run of each kind, each logged in another database of the server that is restarted."""
    shells = [Shell(tmp_path / f"{database.name}/spool", database.options) for database in own_databases]
    with contextlib.ExitStack() as ends:
        processes = []
        for kind, shell, database in zip(KINDS, shells, own_databases, strict=True):
            processes.append(_started(shell, database, kind, *_options(kind)))
            ends.callback(processes[-1].kill)
        server = own_databases[0].server
        server.stop(mode)
        server.start()
        for kind, shell, database, process in zip(KINDS, shells, own_databases, processes, strict=True):
            _is_alive_and_ends_well(kind, shell, database, process)


def _is_alive_and_ends_well(kind: str, shell: Shell, database: Database, process: Process) -> None:
    with database.connect() as session:
        until(lambda: value(session, CLAIMED))
        assert database.check("--crashed", "critical").status == 0, kind
        assert "running for" in database.ctl("detail", "1").stdout, kind
        assert database.ctl("running").stdout.count("ETL") == 1, kind
        assert value(session, "SELECT count(*) FROM jobmon.show_running()") == 1, kind
        assert value(session, "SELECT alert_text FROM jobmon.check_job_status()") == "(All jobs run successfully)", kind
        session.execute("SELECT jobmon.job_log_clear('0')")
        assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE job_name = 'ETL'") == 1, kind
        process.send_signal(signal.SIGTERM if kind != "python" else signal.SIGINT)
        process.communicate(timeout=60)
        until(lambda: value(session, "SELECT end_time IS NOT NULL FROM jobmon.job_log WHERE job_name = 'ETL'"))
        # the one run, and nothing in the spool
        assert session.execute("SELECT job_id FROM jobmon.job_log WHERE job_name = 'ETL'").fetchall() == [(1,)], kind
        assert shell.spooled == [], kind


def test_a_run_follows_the_configuration_file_to_another_place(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    """As after a failover: where the database was when the run began, there is nothing any more."""
    file = tmp_path / "check_jobmon.yml"
    shell = Shell(tmp_path / "check_jobmon" / "spool", ["-H", "db", "--config", str(file)])

    def move(name: str) -> Path:
        folder = tmp_path / name
        folder.symlink_to(database.server.folder)
        place = {**database.parameters, "host": str(folder), "port": str(database.server.port)}
        file.write_text(json.dumps({"hosts": {"db": place}}))
        return folder

    before = move("a")
    with shell.running("etl", "sh", "-c", SLEEP) as process:
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_detail") == 1)
        before.unlink()
        move("b")
        session.execute("SELECT pg_terminate_backend(pid) FROM jobmon.job_log")
        until(lambda: value(session, CLAIMED))
        process.terminate()
        assert process.communicate(timeout=60) == (b"", b"")
    assert session.execute("SELECT job_id, status FROM jobmon.job_log").fetchall() == [(1, "OK")]
    assert shell.spooled == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_whose_client_died_has_crashed(
    database: Database, session: psycopg.Connection, shell: Shell, kind: str
) -> None:
    process = _started(shell, database, kind, *_options(kind))
    session.execute("SELECT pg_terminate_backend(pid) FROM jobmon.job_log")
    until(lambda: value(session, CLAIMED))
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not value(session, CLAIMED))
    done = database.check()
    assert done.status == 1
    assert done.first_line.startswith(
        f"JOBMON WARNING - 1 warning, 0 ok: ETL crashed: run 1 {HERE}{process.pid}, started "
    )
    assert "crashed" in database.ctl("detail", "1").stdout
    assert f"CRASHED - job 1 {HERE}{process.pid} started" in value(
        session, "SELECT alert_text FROM jobmon.check_job_status()"
    )


@pytest.mark.parametrize(
    "when", ["INSERT ON jobmon.job_detail", "UPDATE ON jobmon.job_log FOR EACH ROW WHEN (old.client_pid IS NULL)"]
)
def test_a_session_that_is_lost_before_it_answers_leaves_the_run_alive(
    database: Database, session: psycopg.Connection, shell: Shell, when: str
) -> None:
    session.execute("""
        CREATE FUNCTION public.end_the_runs_session() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            $$BEGIN PERFORM pg_terminate_backend(pid) FROM jobmon.job_log; RETURN NULL; END$$
    """)
    session.execute(f"CREATE TRIGGER ends AFTER {when} EXECUTE FUNCTION public.end_the_runs_session()".encode())
    with shell.running("etl", "sh", "-c", SLEEP) as process:
        until(lambda: value(session, CLAIMED))
        assert database.check("--crashed", "critical").status == 0
        session.execute(f"DROP TRIGGER ends ON {when.split()[2]}".encode())
        process.terminate()
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, b"")
    rows = "SELECT l.status, d.status FROM jobmon.job_log AS l JOIN jobmon.job_detail AS d USING (job_id)"
    assert session.execute(rows).fetchall() == [("OK", "OK")]
    assert shell.spooled == []


def test_a_name_alone_makes_no_session_the_runs(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as runner:
        job = value(runner, "SELECT jobmon.add_job('etl')")
    until(lambda: value(session, "SELECT count(*) FROM jobmon.show_running()") == 0)
    with database.connect(application_name=f"jobmon run {job}: mine"):
        assert value(session, "SELECT count(*) FROM jobmon.show_running()") == 0
    with database.connect() as other:
        assert value(other, "SELECT jobmon.claim_job(%s)", job) is None
        assert value(session, "SELECT count(*) FROM jobmon.show_running()") == 1
        assert value(session, "SELECT jobmon.cancel_job(%s)", job) is True
        assert value(other, "SELECT jobmon.claim_job(%s)", job) == "postgres"


def test_a_process_does_not_claim_the_run_of_another_one(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as runner, database.connect() as later:
        job = value(runner, "SELECT jobmon.add_job('etl')")
        value(runner, "SELECT jobmon.claim_job(%s, 'db1', 1)", job)
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState, match=f"job {job} belongs to process 1 on host db1"
        ):
            later.execute("SELECT jobmon.claim_job(%s, 'db2', 2)", [job])
        # the same one, over a new session
        value(later, "SELECT jobmon.claim_job(%s, 'db1', 1)", job)
        assert value(session, "SELECT pid FROM jobmon.job_log") == later.info.backend_pid
    until(lambda: value(session, "SELECT count(*) FROM jobmon.show_running()") == 0)
    with database.connect() as heir:
        value(heir, "SELECT jobmon.claim_job(%s, 'db2', 2)", job)
        heir.execute("SELECT jobmon.close_job(%s)", [job])
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="process 2 on host db2"):
            heir.execute("SELECT jobmon.claim_job(%s, 'db1', 1)", [job])


@pytest.mark.parametrize("kind", ["run", "python"])
def test_nothing_is_written_to_a_run_that_has_the_number_of_the_own_one_after_a_failover(
    database: Database, session: psycopg.Connection, shell: Shell, kind: str
) -> None:
    log = Path(database.server.folder, "log")
    before = log.read_text().count("belongs to process 1 on host db-of-other")
    process = _started(shell, database, kind)
    with database.connect() as other:
        lost = value(session, "SELECT pid FROM jobmon.job_log")
        session.execute(
            "UPDATE jobmon.job_log SET job_name = 'OTHER', pid = %s, client_host = 'db-of-other', client_pid = 1",
            [other.info.backend_pid],
        )
        session.execute("SELECT pg_terminate_backend(%s)", [lost])
        until(lambda: log.read_text().count("belongs to process 1 on host db-of-other") > before)
        process.send_signal(signal.SIGTERM if kind == "run" else signal.SIGINT)
        said = process.communicate(timeout=60)[1].decode()
        runs = "SELECT job_name, status, client_host = 'db-of-other' FROM jobmon.job_log ORDER BY job_id"
        # the command's run is logged under another number; the program's can't be, and it says so
        anew = [("ETL", "OK", False)] if kind == "run" else []
        assert session.execute(runs).fetchall() == [("OTHER", None, True), *anew]
        assert ("belongs to process 1 on host db-of-other" in said) is (kind == "python")
        assert shell.spooled == []


def test_only_who_may_write_to_a_run_may_claim_it(database: Database, session: psycopg.Connection) -> None:
    session.execute("CREATE ROLE claim_other LOGIN IN ROLE jobmon_log")
    try:
        job = value(session, "SELECT jobmon.add_job('etl')")
        with database.connect(user="claim_other") as other:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match='belongs to role "postgres"'):
                other.execute("SELECT jobmon.claim_job(%s, 'host', 1)", [job])
            own = value(other, "SELECT jobmon.add_job('own')")
            value(other, "SELECT jobmon.claim_job(%s, 'db7', 4711)", own)
        query = "SELECT client_host, client_pid FROM jobmon.job_log ORDER BY job_id"
        assert session.execute(query).fetchall() == [(None, None), ("db7", 4711)]
    finally:
        session.execute("DROP OWNED BY claim_other; DROP ROLE claim_other")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lost", [False, True])
def test_a_cancelled_run_ends(
    database: Database, session: psycopg.Connection, shell: Shell, kind: str, lost: bool
) -> None:
    """By turns with the command and in SQL, either of which calls the same function."""
    by = ("jobmonctl", "sql")[(KINDS.index(kind) + lost) % 2]
    process = _started(shell, database, kind, *_options(kind))
    if lost:
        session.execute("SELECT pg_terminate_backend(pid) FROM jobmon.job_log")
        until(lambda: value(session, CLAIMED))
    if by == "sql":
        assert value(session, "SELECT jobmon.cancel_job(1)") is True
    else:
        done = database.ctl("cancel", "1", "-y")
        assert done.status == 0, done
        assert f"{HERE}{process.pid}, backend " in done.stdout
        assert done.stdout.endswith(" has ended\n")
    _, errors = process.communicate(timeout=60)
    assert session.execute("SELECT job_id, status FROM jobmon.job_log").fetchall() == [(1, "CRITICAL")]
    ((action, message),) = session.execute("SELECT action, message FROM jobmon.job_detail LIMIT 1").fetchall()
    assert message.startswith("cancelled by postgres"), action
    if kind == "python":
        assert process.returncode == 1
        assert b"check_jobmon.JobCancelled: the run was cancelled" in errors
    else:
        assert process.returncode == 143
        assert errors == b"jobmonctl run: etl was cancelled by postgres\n"
        assert message == "cancelled by postgres; ended by SIGTERM: ready"
    assert shell.spooled == []


@pytest.mark.parametrize("leads", [True, False])
def test_a_command_that_ignores_term_is_killed_with_its_descendants(
    database: Database, session: psycopg.Connection, shell: Shell, leads: bool
) -> None:
    script = "trap '' TERM; sleep 1001 & (setsid sleep 1002 &) ; echo ready; while :; do sleep 0.05; done"
    arguments = shell.arguments("etl", "sh", "-c", script)[1:]
    process: Process
    if leads:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.ctl.hasty", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=shell.environment,
            cwd=ROOT,
            start_new_session=True,
        )
    else:
        process = shell.start(arguments, "tests.ctl.hasty")
    until(lambda: value(session, "SELECT count(*) FROM jobmon.job_detail") == 1)
    assert value(session, "SELECT jobmon.cancel_job(1)") is True
    process.wait(60)
    assert process.returncode == 143
    assert value(session, "SELECT message FROM jobmon.job_detail") == "cancelled by postgres; ended by SIGKILL: ready"


def test_a_notification_alone_ends_nothing(database: Database, session: psycopg.Connection, shell: Shell) -> None:
    process = _started(shell, database, "run")
    try:
        for _ in range(3):
            session.execute("NOTIFY jobmon_cancel, '1'")
            time.sleep(1.2)
        assert process.poll() is None
        assert value(session, "SELECT end_time IS NULL FROM jobmon.job_log")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_body_that_can_not_be_interrupted_ends_at_its_next_step(
    database: Database, session: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_jobmon.job, "_interrupt", lambda _self, _thread: None)
    steps: list[str] = []

    def body() -> None:
        with check_jobmon.job("etl", _conninfo(database)) as job:
            with job.step("one"):
                session.execute("SELECT jobmon.cancel_job(%s)", [job.job_id])
                until(lambda: job._cancelled_by)
            steps.append("one")
            with job.step("two"):
                steps.append("two")

    with pytest.raises(check_jobmon.JobCancelled, match=r"^the run was cancelled by postgres$"):
        body()
    assert steps == ["one"]
    assert value(session, "SELECT status FROM jobmon.job_log") == "CRITICAL"


def test_a_job_in_another_thread_is_interrupted_there(database: Database, session: psycopg.Connection) -> None:
    raised: list[BaseException] = []

    def body() -> None:
        try:
            with check_jobmon.job("etl", _conninfo(database)):
                while True:
                    time.sleep(0.01)
        except check_jobmon.JobCancelled as error:
            raised.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    until(lambda: value(session, "SELECT count(*) FROM jobmon.job_log WHERE client_pid IS NOT NULL") == 1)
    session.execute("SELECT jobmon.cancel_job(1)")
    thread.join(60)
    assert len(raised) == 1


def test_an_asyncio_task_is_cancelled(database: Database, session: psycopg.Connection) -> None:
    async def body() -> None:
        async with check_jobmon.async_job("etl", _conninfo(database)) as job:
            await asyncio.to_thread(session.execute, "SELECT jobmon.cancel_job(%s)", [job.job_id])
            await asyncio.sleep(600)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(body())
    assert value(session, "SELECT status FROM jobmon.job_log") == "CRITICAL"
    assert value(session, "SELECT message FROM jobmon.job_detail").startswith("cancelled by postgres")


@pytest.mark.parametrize("kind", KINDS)
def test_the_host_and_the_process_are_shown(
    database: Database, session: psycopg.Connection, shell: Shell, kind: str
) -> None:
    session.execute(
        "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity)"
        " VALUES ('ETL', '1 us', '1 day', true, 0)"
    )
    process = _started(shell, database, kind, *_options(kind))
    place = f"{HERE}{process.pid}"
    row = session.execute("SELECT client_host, client_pid FROM jobmon.show_job('etl')").fetchall()
    assert row == [(os.uname().nodename, process.pid)]
    assert f"by postgres, {place}, backend " in database.ctl("detail", "etl").stdout
    assert f": run 1 {place})" in f"{database.check().first_line})"
    assert f"running {place} since" in value(session, "SELECT alert_text FROM jobmon.check_job_status()")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    session.execute("SELECT jobmon.fail_job(1)")
    assert f"{place}" in database.check().first_line
    assert f"; {place})" in value(session, "SELECT alert_text FROM jobmon.check_job_status()") or kind == "python"
    assert f"by postgres, {place}, backend " in database.ctl("detail", "etl").stdout


def test_a_run_of_sql_has_no_process_but_its_backend(database: Database, session: psycopg.Connection) -> None:
    session.execute("SELECT jobmon.sql_job('etl', 'SELECT 1')")
    assert session.execute("SELECT client_host, client_pid FROM jobmon.job_log").fetchall() == [(None, None)]
    assert f", by postgres, pid {session.info.backend_pid}\n" in database.ctl("detail", "etl").stdout


def test_a_run_that_is_delivered_late_has_its_process_too(
    database: Database, session: psycopg.Connection, shell: Shell
) -> None:
    session.execute("ALTER SCHEMA jobmon RENAME TO away")
    assert shell.run("etl", "true").status == 0
    assert len(shell.spooled) == 1
    session.execute("ALTER SCHEMA away RENAME TO jobmon")
    assert shell.call("run", "--deliver", *shell.options).stdout == "runs delivered: 1\n"
    ((host, pid),) = session.execute("SELECT client_host, client_pid FROM jobmon.job_log").fetchall()
    assert (host, pid > 0) == (os.uname().nodename, True)


def test_a_schema_of_the_last_version_still_gets_its_runs(
    database: Database, session: psycopg.Connection, shell: Shell
) -> None:
    session.execute("DROP FUNCTION jobmon.claim_job(bigint, text, integer)")
    assert shell.run("etl", "true").status == 0
    with check_jobmon.job("etl", _conninfo(database)):
        pass
    assert session.execute("SELECT status FROM jobmon.job_log").fetchall() == [("OK",), ("OK",)]
    session.execute("DROP VIEW jobmon.own_runs, jobmon.own_steps")
    session.execute("ALTER TABLE jobmon.job_log DROP COLUMN client_host, DROP COLUMN client_pid")
    assert database.check().status == 0
    assert "took" in database.ctl("detail", "etl").stdout
