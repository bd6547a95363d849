"""Failover: the primary is killed while jobs log, and its standby promoted. What is acknowledged stays, and the jobs go on."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, bootstrap, run_module, until, value
from tests.servers import create
from tests.system.test_standby import Standby

LINKS = "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^jobmon link of '"
LOGGERS = 4


@dataclass(frozen=True)
class Acknowledged:
    """A call that has returned, on which server, and where that server's WAL was then."""

    port: int
    job_id: int
    name: str
    closed: bool
    wal: str


@dataclass
class Pair:
    """A primary and its standby, and the connection string that finds whichever is the primary."""

    primary: Server
    standby: Standby

    @property
    def conninfo(self) -> str:
        """As a job's."""
        both = (self.primary, self.standby)
        hosts, ports = (",".join(map(str, these)) for these in zip(*((s.folder, s.port) for s in both), strict=True))
        return (
            f"host={hosts} port={ports} user=postgres dbname=postgres target_session_attrs=read-write connect_timeout=5"
        )

    def kill(self) -> None:
        """As if the primary's machine went off."""
        postmaster = int((self.primary.data / "postmaster.pid").read_text().split()[0])
        parents = re.compile(rf"^\d+ \(.*\) \S {postmaster} ")
        children = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if parents.match(stat.read_text()):
                    children.append(int(stat.parent.name))
        for pid in (postmaster, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        (self.primary.data / "postmaster.pid").unlink()

    def promote(self) -> str:
        """Promote the standby; returns how much of the WAL it has got."""
        with Database(self.standby, "postgres").connect() as session:
            until(lambda: value(session, "SELECT count(*) = 0 FROM pg_stat_wal_receiver"))
            until(lambda: value(session, "SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn()"))
            got: str = value(session, "SELECT pg_last_wal_replay_lsn()::text")
            assert value(session, "SELECT pg_promote()") is True
        return got


@dataclass
class Logger:
    """Logs run after run, each of three calls, wherever the primary is."""

    pair: Pair
    number: int
    stop: threading.Event
    done: list[Acknowledged] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def run(self) -> None:
        """Until it is stopped."""
        runs = 0
        while not self.stop.is_set():
            try:
                with psycopg.connect(self.pair.conninfo, autocommit=True) as session:
                    while not self.stop.is_set():
                        runs += 1
                        self._log(session, f"LOGGER {self.number} RUN {runs}")
                        self.stop.wait(0.02)
            except psycopg.OperationalError:
                time.sleep(0.05)
            except Exception as error:
                self.failures.append(error)
                return

    def _log(self, session: psycopg.Connection, name: str) -> None:
        [(job, wal)] = session.execute("SELECT jobmon.add_job(%s), pg_current_wal_lsn()::text", [name]).fetchall()
        self.done.append(Acknowledged(session.info.port, job, name, False, wal))
        value(session, "SELECT jobmon.add_step(%s, 'load')", job)
        wal = value(session, "SELECT pg_current_wal_lsn()::text FROM jobmon.close_job(%s)", job)
        self.done.append(Acknowledged(session.info.port, job, name, True, wal))


@pytest.fixture
def pair(server: Server) -> Iterator[Pair]:
    """A primary with the job log, and a standby that streams from it."""
    settings = {"fsync": "off", "shared_buffers": "64MB"}
    primary = Server(server.binaries, settings)
    standby = Standby(server.binaries, settings)
    standby.primary = primary
    pair = Pair(primary, standby)
    try:
        create(primary)
        primary.start()
        with Database(primary, "postgres").connect() as session:
            bootstrap(session, "jobmon")
            session.execute("INSERT INTO jobmon.job_check_config VALUES ('DEAD', '1 day', '2 days', true, 0)")
        standby.create()
        standby.start()
        standby.of(Database(primary, "postgres"))
        yield pair
    finally:
        primary.remove()
        standby.remove()


@contextlib.contextmanager
def command(pair: Pair, spool: Path, name: str, until_there: Path) -> "Iterator[subprocess.Popen[str]]":
    """`jobmonctl run` of a command that works until the file is there."""
    arguments = ["run", name, "--conninfo", pair.conninfo, "--spool", str(spool), "--"]
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "check_jobmon.ctl",
            *arguments,
            "sh",
            "-c",
            f"until [ -e {until_there} ]; do sleep 0.1; done",
        ],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            until_there.touch()


@pytest.mark.parametrize("replication", ["asynchronous", "synchronous"])
def test_no_acknowledged_run_is_lost_and_the_jobs_go_on(pair: Pair, replication: str, tmp_path: Path) -> None:
    old, new = Database(pair.primary, "postgres"), Database(pair.standby, "postgres")
    stop = threading.Event()
    loggers = [Logger(pair, number, stop) for number in range(LOGGERS)]
    threads = [threading.Thread(target=logger.run) for logger in loggers]
    spools = {name: tmp_path / name for name in ("through", "meanwhile")}
    files = {name: tmp_path / f"{name}-is-over" for name in spools}
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(new.connect())
        dba = stack.enter_context(old.connect())
        dead = stack.enter_context(old.connect())
        if replication == "synchronous":
            dba.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            dba.execute("SELECT pg_reload_conf()")
            until(lambda: value(dba, "SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication"))
        job = value(dead, "SELECT jobmon.add_job('dead')")
        # by chance, a session that reads on the standby, and began before the run, has the pid that the run's has here
        assert value(dead, "SELECT jobmon.lock_job(%s)", job) is None
        for table in ("job_log", "job_lock"):
            dba.execute(
                f"UPDATE jobmon.{table} SET pid = %s WHERE job_id = %s".encode(), [reader.info.backend_pid, job]
            )
        commands = {name: stack.enter_context(command(pair, spools[name], name, files[name])) for name in spools}
        stack.callback(stop.set)
        for thread in threads:
            thread.start()
        until(lambda: value(dba, "SELECT count(*) FROM jobmon.job_log WHERE job_name IN ('THROUGH', 'MEANWHILE')") == 2)
        pair.standby.of(old)
        until(lambda: all(len(logger.done) > 10 for logger in loggers))
        if replication == "asynchronous":
            os.kill(value(dba, "SELECT pid FROM pg_stat_replication"), signal.SIGSTOP)
            so_far = [len(logger.done) for logger in loggers]
            until(lambda: all(len(logger.done) > count + 10 for logger, count in zip(loggers, so_far, strict=True)))

        pair.kill()
        files["meanwhile"].touch()
        kept = commands["meanwhile"].communicate(timeout=60)[1]
        assert (commands["meanwhile"].returncode, "its log is kept in" in kept) == (0, True), kept
        got = pair.promote()

        # the next check judges
        judged = run_module("check_jobmon", "--conninfo", pair.conninfo)
        assert (judged.status, "DEAD crashed: run" in judged.first_line) == (1, True), judged
        assert value(reader, "SELECT count(*) FROM jobmon.show_running() WHERE job_name = 'DEAD'") == 0
        assert value(reader, "SELECT jobmon.sql_job('dead', 'SELECT')").endswith("was successful")
        until(lambda: all(logger.done[-1].port == pair.standby.port for logger in loggers))
        so_far = [len(logger.done) for logger in loggers]
        until(lambda: all(len(logger.done) > count + 10 for logger, count in zip(loggers, so_far, strict=True)))
        stop.set()
        for thread in threads:
            thread.join(60)
        assert [logger.failures for logger in loggers] == [[]] * LOGGERS

        # a run that is under way goes on, and is known to
        until(lambda: "THROUGH" in new.ctl("running").stdout)
        files["through"].touch()
        assert (commands["through"].wait(60), commands["through"].stderr.read()) == (0, "")  # type: ignore[union-attr]
        delivered = run_module(
            "check_jobmon.ctl", "run", "--deliver", "--conninfo", pair.conninfo, "--spool", str(spools["meanwhile"])
        )
        assert delivered.stdout == "runs delivered: 1\n"

    with new.connect() as session:
        until(lambda: value(session, LINKS) == 0)
        # an id that is given twice would have another name than the one that was acknowledged
        logged = {
            job_id: (name, status)
            for job_id, name, status in session.execute(
                "SELECT job_id, job_name, status FROM jobmon.job_log"
            ).fetchall()
        }
        acknowledged = [call for logger in loggers for call in logger.done]
        there = [
            call
            for call in acknowledged
            if replication == "synchronous"
            or call.port == pair.standby.port
            or value(session, "SELECT %s::pg_lsn <= %s::pg_lsn", call.wal, got)
        ]
        assert {call.port for call in there} == {pair.primary.port, pair.standby.port}
        assert [call for call in there if logged.get(call.job_id, ("", ""))[0] != call.name] == []
        assert [call for call in there if call.closed and logged[call.job_id][1] != "OK"] == []
        assert sorted(
            name for name, status in logged.values() if name in ("THROUGH", "MEANWHILE") and status == "OK"
        ) == [*("MEANWHILE", "THROUGH")]
        assert (
            value(session, "SELECT count(*) - count(DISTINCT job_name) FROM jobmon.job_log WHERE job_name <> 'DEAD'")
            == 0
        )
