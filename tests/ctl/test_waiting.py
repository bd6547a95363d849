"""What takes longer than a second at a terminal says what it waits for, in a line that is erased at the end; nowhere else."""

import os
import subprocess
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.ctl.forked import Forked
from tests.ctl.prompt import SCRIPT, on_terminal
from tests.ctl.test_targets import listener as listener
from tests.ctl.test_targets import silent as silent
from tests.database import Database, until, value
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.conftest import targets as targets

ERASE = "\r\x1b[K"


@pytest.fixture
def holder(database: Database) -> Iterator[psycopg.Connection]:
    """A session that has locked job_log."""
    with database.connect() as holder:
        holder.execute("BEGIN; LOCK TABLE jobmon.job_log")
        yield holder


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("show", "waiting for /"),
        ("status", "waiting for /"),
        ("silences", "waiting for /"),
        ("bootstrap", "installing or upgrading schema jobmon: a large log takes time ("),
    ],
)
def test_a_slow_answer_is_waited_for_in_one_line(
    database: Database, holder: psycopg.Connection, command: str, said: str
) -> None:
    with on_terminal(database, command) as terminal:
        terminal.see(said)
        holder.execute("ROLLBACK")
        assert terminal.end() == 0
    before, _, after = terminal.raw.rpartition(ERASE)
    assert said in before
    assert "\n" not in before
    assert after.strip()
    assert said not in after


def test_it_says_how_many_targets_have_answered(database: Database, targets: Targets, silent: int) -> None:
    file = targets({"a": database.parameters, "s": {"host": "127.0.0.1", "port": silent, "dbname": "x"}})
    command = [str(SCRIPT), "running", "--targets", file, "--timeout", "4"]
    primary, secondary = os.openpty()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=secondary, env={**os.environ, "TERM": "xterm"}
    ) as done:
        assert done.stdout
        output = done.stdout.read().decode()
    os.close(secondary)
    said = os.read(primary, 65536).decode()
    os.close(primary)
    assert f"{ERASE}1 of 2 targets have answered (1s)" in said
    assert said.endswith(f"{ERASE}jobmonctl running: 1 of 2 targets could not be asked\r\n")
    assert "\x1b" not in output
    assert "have answered" not in output


@pytest.mark.parametrize("command", ["show", "bootstrap"])
def test_where_stderr_is_no_terminal_nothing_is_said(
    database: Database, holder: psycopg.Connection, session: psycopg.Connection, command: str
) -> None:
    process = Forked([command, *database.options], os.environ)
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    until(lambda: value(session, waits) or process.poll() is not None)
    time.sleep(1.5)
    holder.execute("ROLLBACK")
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    assert b"waiting" not in output
