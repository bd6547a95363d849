"""jobmonctl status --watch on a terminal: redrawn in place, and the terminal is as before, whatever ends or stops it."""

import os
import signal
import sys
from pathlib import Path

import psycopg
import pytest
from rich.cells import cell_len

from tests.ctl.prompt import ESCAPES, SCRIPT, a_run, on_terminal
from tests.ctl.test_as_without import terminal
from tests.ctl.test_commands import without_rich
from tests.ctl.test_status import configure
from tests.database import Database
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.conftest import targets as targets

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
MISSING = "missing, no run has ever completed"
SHELL = """
import os, signal, sys, termios

def tell(what):
    os.tcsetpgrp(0, os.getpgrp())
    # in one write, which nothing can part
    os.write(1, f"{what}: {termios.tcgetattr(0)} are the modes now\\n".encode())

signal.signal(signal.SIGTTOU, signal.SIG_IGN)
tell("begun")
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while os.WIFSTOPPED(status := os.waitpid(child, os.WUNTRACED)[1]):
    tell(f"stopped by {os.WSTOPSIG(status)}")
    sys.stdin.readline()
    os.tcsetpgrp(0, child)
    os.killpg(child, signal.SIGCONT)
tell(f"ended with {os.waitstatus_to_exitcode(status)}")
"""
"""As much of a shell as has to do with its jobs: on a line of input, the stopped one goes on."""


WAYS: tuple[str | signal.Signals, ...] = ("q", "Q", "\x03", signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


# Without rich, a key, the interrupt and a signal stand for all.
@pytest.mark.parametrize(
    ("how", "rich"), [*((how, True) for how in WAYS), *((how, False) for how in WAYS[:4:2]), (signal.SIGTERM, False)]
)
def test_whatever_ends_it_the_terminal_is_as_before(
    database: Database, session: psycopg.Connection, tmp_path: Path, how: str | signal.Signals, rich: bool
) -> None:
    configure(session, "ETL")
    environment = {} if rich else without_rich(tmp_path)
    with on_terminal(database, "status", "--watch", "0.1", **environment) as watching:
        before = watching.modes
        watching.see(MISSING)
        a_run(session, "etl")
        watching.see("0 CRITICAL, 0 WARNING, 1 OK")
        assert watching.modes != before
        if isinstance(how, str):
            watching.type(how)
            assert watching.end() == 0
        else:
            watching.process.send_signal(how)
            assert watching.end() == -how
        assert watching.modes == before
        assert watching.raw.count(ENTER) == watching.raw.count(LEAVE) == 1
        shown = watching.raw.partition(ENTER)[2].partition(LEAVE)[0]
        # a screen that is cleared before it is written flickers
        assert "\x1b[2J" not in shown
        assert shown.count("\x1b[H") >= 2
        assert watching.raw.endswith(LEAVE)


def test_q_ends_it_while_the_server_is_away(database: Database, session: psycopg.Connection) -> None:
    configure(session, "ETL")
    with on_terminal(database, "status", "--watch", "0.1") as watching, database.connect(dbname="postgres") as admin:
        watching.see(MISSING)
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false".encode())
        others = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        admin.execute(f"SELECT pg_terminate_backend(pid) {others}".encode(), [database.name])
        watching.see("last seen")
        watching.see("trying again, because")
        watching.type("q")
        assert watching.end() == 0


@pytest.mark.parametrize("rich", [True, False], ids=["rich", "no rich"])
def test_a_terminal_that_becomes_narrower_is_redrawn_at_once(
    database: Database, session: psycopg.Connection, tmp_path: Path, rich: bool
) -> None:
    configure(session, "夜間 ETL", *(f"JOB {number}" for number in range(60)))
    environment = {} if rich else without_rich(tmp_path)
    with on_terminal(database, "status", "--watch", "3000", **environment) as watching:
        watching.see("more lines")
        assert "LAST RUN" in watching.text
        for width in (60, 33):
            start = len(watching.raw)
            watching.resize(width)
            watching.see("more lines", start)
            lines = ESCAPES.sub("", watching.raw[start:]).splitlines()
            assert len(lines) == 40
            assert max(map(cell_len, lines)) <= width
        watching.type("q")
        assert watching.end() == 0


def test_ctrl_z_gives_the_terminal_back_and_fg_goes_on(database: Database, session: psycopg.Connection) -> None:
    configure(session, "ETL")
    line = [str(SCRIPT), "status", *database.options, "--watch", "0.1"]
    with terminal([sys.executable, "-c", SHELL, *line], TERM="xterm") as (_, master, read):
        before = read(b"the modes now")
        read(MISSING.encode())
        os.write(master, b"\x1a")
        stopped = read(b"the modes now")
        assert LEAVE.encode() in stopped
        assert f"stopped by {signal.SIGTSTP}".encode() in stopped
        os.write(master, b"fg\n")
        read(ENTER.encode())
        read(MISSING.encode())
        os.write(master, b"q")
        ended = read(b"the modes now")
        assert LEAVE.encode() in ended
        assert b"ended with 0" in ended
        assert modes(before) == modes(stopped) == modes(ended)


def modes(printed: bytes) -> bytes:
    """What SHELL said last of the terminal's modes."""
    return printed.rpartition(b": ")[2]


def test_many_targets_are_watched_too(database: Database, session: psycopg.Connection, targets: Targets) -> None:
    configure(session, "ETL")
    file = targets({"a": database.parameters, "b": database.parameters})
    words = ["status", "--targets", file, "--watch", "0.1"]
    with on_terminal(database, words[0], *words[1:], "-H", "?") as watching:
        before = watching.modes
        watching.see("2 CRITICAL, 0 WARNING, 0 OK")
        a_run(session, "etl")
        watching.see("0 CRITICAL, 0 WARNING, 2 OK")
        watching.type("q")
        assert watching.end() == 0
        assert watching.modes == before


def test_a_terminal_without_a_screen_gets_one_table_after_the_other(
    database: Database, session: psycopg.Connection
) -> None:
    configure(session, "ETL")
    with on_terminal(database, "status", "--watch", "0.1", TERM="dumb") as watching:
        watching.see(MISSING)
        a_run(session, "etl")
        watching.see("0 CRITICAL, 0 WARNING, 1 OK")
        watching.type("\x03")
        assert watching.end() == 0
        assert "\x1b" not in watching.raw
