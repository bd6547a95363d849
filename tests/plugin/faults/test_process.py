"""The plugin as a process: where its output goes, who stops it when, and the environment it is started in."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests import warm
from tests.database import Database, until, value
from tests.plugin.faults.plugin import MARGIN, TIMEOUT, WAITING, Running, alert, at_once, gone, locked
from tests.plugin.faults.proxy import Proxy

ROOT = Path(__file__).parents[3]


def _shell(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command, in which "$@" is the plugin with its arguments."""
    return subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, "-m", "check_jobmon", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        check=False,
    )


REDIRECTIONS: dict[str, tuple[str, tuple[int, ...]]] = {
    "stdout closed": ('"$@" >&-', (1,)),
    "stdout and stderr closed": ('"$@" >&- 2>&-', (1, 2)),
    "all three closed": ('"$@" <&- >&- 2>&-', (0, 1, 2)),
    "stdout full": ('"$@" >/dev/full', ()),
    "stdout read-only": ('"$@" 1</dev/null', ()),
}
"""What a shell does, and the streams that a fork has closed then, if that is all."""
ARGUMENTS: dict[str, list[str]] = {"check": [], "help": ["--help"], "usage error": ["--nonsense"]}


@pytest.mark.parametrize("redirection", REDIRECTIONS)
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_nowhere_to_print_to_is_unknown(database: Database, redirection: str, arguments: str) -> None:
    """What is closed is so for a process with one of the arguments in turn, and for forks with the others."""
    shell, closed = REDIRECTIONS[redirection]
    given = [*database.options, *ARGUMENTS[arguments]]
    turn = [*REDIRECTIONS].index(redirection) + [*ARGUMENTS].index(arguments)
    if closed and turn % len(ARGUMENTS):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        ended = warm.run(sys.executable, "check_jobmon", given, environment, 60, closed)
        assert ended == (3, b"", b"")
    else:
        done = _shell(shell, *given)
        assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


def test_stderr_and_stdin_closed_is_no_hindrance(database: Database, missing: str) -> None:
    for redirection in ('"$@" 2>&-', '"$@" <&-', '"$@" <&- 2>&-'):
        done = _shell(redirection, *database.options)
        assert done.stdout.startswith(missing), redirection
        assert (done.returncode, done.stderr) == (2, "")


def test_reader_that_goes_away_is_unknown(database: Database) -> None:
    with Running(*database.options) as plugin:
        assert plugin.process.stdout is not None
        plugin.process.stdout.close()
        plugin.process.stdout = None
        _, stderr = plugin.process.communicate(timeout=60)
    assert (plugin.process.returncode, stderr) == (3, "")


@contextlib.contextmanager
def connecting(database: Database, session: psycopg.Connection) -> Iterator[Running]:
    """A plugin to which the server says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(MARGIN)
        with Running("-H", "127.0.0.1", "-p", str(silent.getsockname()[1]), timeout=50) as plugin:
            connection, _ = silent.accept()
            with connection:
                yield plugin


@contextlib.contextmanager
def between(database: Database, session: psycopg.Connection) -> Iterator[Running]:
    """A plugin that is connected and has asked nothing yet, as far as the server knows."""
    with Proxy(database, question=b"BEGIN ISOLATION") as proxy, Running(*proxy.options, timeout=50) as plugin:
        assert proxy.held.wait(MARGIN)
        yield plugin


@contextlib.contextmanager
def querying(database: Database, session: psycopg.Connection) -> Iterator[Running]:
    """A plugin whose query is at work."""
    with locked(database, "job_log"), Running(*database.options, timeout=50) as plugin:
        until(lambda: value(session, WAITING))
        yield plugin
        gone(session)  # while the lock still holds


@contextlib.contextmanager
def reading(database: Database, session: psycopg.Connection) -> Iterator[Running]:
    """A plugin that has half of the result."""
    session.execute(
        "INSERT INTO jobmon.job_check_config VALUES ('CUT SHORT', '1 hour', '2 hours', true, 0, '-infinity')"
    )
    with Proxy(database, answer=b"CUT SHORT") as proxy, Running(*proxy.options, timeout=50) as plugin:
        assert proxy.held.wait(MARGIN)
        yield plugin


STAGES = [connecting, between, querying, reading]
Stage = Callable[[Database, psycopg.Connection], "contextlib.AbstractContextManager[Running]"]


SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"]
STOPS = [
    pytest.param(stage, name, "process" if (turn + others) % 2 else "group", id=f"{stage.__name__}-{name}")
    for turn, stage in enumerate(STAGES)
    for others, name in enumerate(SIGNALS)
]


@pytest.mark.parametrize(("stage", "name", "target"), STOPS)
def test_stopped_by_the_scheduler(
    database: Database, session: psycopg.Connection, stage: Stage, name: str, target: str
) -> None:
    """Nagios and timeout(1) stop the whole group, NRPE the process. Each stage and each signal meets both."""
    with stage(database, session) as plugin:
        (os.killpg if target == "group" else os.kill)(plugin.pid, signal.Signals[name])
        output = plugin.output()
    hint = "find out what sent it (the scheduler's own timeout?), or lower -t"
    assert output.stdout == f"JOBMON UNKNOWN - stopped by {name} before there was an answer: {hint}\n"
    assert (output.status, output.stderr) == (3, "")
    gone(session)


def test_machine_too_slow_to_load_the_libraries_in_time(database: Database) -> None:
    output = alert(*database.options, timeout=0.001)
    assert re.fullmatch(
        r"JOBMON CRITICAL - no answer within 0.001s while (starting|loading libraries) \(.*\): "
        r"look at the load of this machine\n",
        output.stdout,
    )
    assert output.status == 2


def test_killed_plugin_leaves_nothing_beyond_its_deadline(database: Database, session: psycopg.Connection) -> None:
    """SIGKILL of the plugin leaves its child, which the deadline ends; SIGKILL of both the server's own bound."""
    with locked(database, "job_log"):
        for kill in (os.kill, os.killpg):
            with Running(*database.options) as plugin:
                until(lambda: value(session, WAITING))
                kill(plugin.pid, signal.SIGKILL)
                gone(session)


def test_killed_child_is_unknown(database: Database, session: psycopg.Connection) -> None:
    """As the kernel does that runs out of memory."""
    with locked(database, "job_log"), Running(*database.options) as plugin:
        until(lambda: value(session, WAITING))
        (child,) = plugin.children
        os.kill(child, signal.SIGKILL)
        output = plugin.output()
        gone(session)
    assert output.stdout == (
        "JOBMON UNKNOWN - the check ended with signal 9 before it had an answer: look into this machine's kernel log\n"
    )
    assert (output.status, output.stderr) == (3, "")


def test_scheduler_that_ignores_or_blocks_signals_is_no_hindrance(
    database: Database, session: psycopg.Connection
) -> None:
    """Both are inherited; a daemon may have its reasons."""
    code = (
        "import os, signal, sys\n"
        "for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD, signal.SIGPIPE):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'check_jobmon', *sys.argv[1:]])\n"
    )
    with locked(database, "job_log"):
        done = subprocess.run(
            [sys.executable, "-c", code, *database.options, "-t", str(TIMEOUT)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            check=False,
        )
        gone(session)
    assert " is locked (job_log by pid " in done.stdout
    assert (done.returncode, done.stderr) == (2, "")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = ["-H", "127.0.0.1", "-p", str(silent.getsockname()[1]), "-t", str(TIMEOUT)]
        done = subprocess.run(
            [sys.executable, "-c", code, *options], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
        )
    assert done.stdout.startswith(f"JOBMON CRITICAL - no answer within {TIMEOUT}s while connecting")
    assert (done.returncode, done.stderr) == (2, "")


@pytest.mark.parametrize("offset", ["-1d", "+1d", "+3650d"])
def test_clock_of_the_monitoring_host_doesn_t_matter(database: Database, missing: str, offset: str) -> None:
    if not shutil.which("faketime"):
        pytest.skip("needs the Debian package faketime")
    done = subprocess.run(
        ["faketime", "-f", offset, sys.executable, "-m", "check_jobmon", *database.options, "-v"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout.startswith(missing)
    assert done.stdout.splitlines()[1:] == database.check("-v").stdout.splitlines()[1:]
    assert (done.returncode, done.stderr) == (2, "")


ENVIRONMENTS = {
    "server's settings": {
        "PGOPTIONS": "-c statement_timeout=1min -c search_path=public -c default_transaction_read_only=off"
    },
    "server's formats": {"PGTZ": "Asia/Tokyo", "PGDATESTYLE": "SQL, DMY", "PGCLIENTENCODING": "latin1"},
    "Python's warnings": {"PYTHONWARNINGS": "error"},
    "Python's development mode": {"PYTHONDEVMODE": "1"},
    "no locale": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "unknown locale": {"LC_ALL": "xx_XX.UTF-8"},
    "another encoding": {"PYTHONIOENCODING": "ascii:strict"},
    "no home": {"HOME": "/nonexistent"},
    "narrow terminal": {"COLUMNS": "1"},
    "application name": {"PGAPPNAME": "something else"},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environment_doesn_t_matter(
    database: Database, session: psycopg.Connection, missing: str, environment: str
) -> None:
    session.execute("UPDATE jobmon.job_check_config SET job_name = 'ÉTÉ'; UPDATE jobmon.job_log SET job_name = 'ÉTÉ'")
    output = at_once(*database.options, timeout=30, **ENVIRONMENTS[environment])
    assert (output.first_line, output.status) == (missing.replace("ETL", "ÉTÉ"), 2)


def test_environment_that_can_t_be_right_is_named(database: Database) -> None:
    for name, text in (
        ("PGSERVICE", 'definition of service "nonsense" not found'),
        ("PGSSLMODE", 'invalid sslmode value: "nonsense"'),
        ("PGTARGETSESSIONATTRS", 'invalid target_session_attrs value: "nonsense"'),
    ):
        output = alert(*database.options, timeout=TIMEOUT, **{name: "nonsense"})
        assert output.stdout.startswith("JOBMON UNKNOWN - the connection parameters are wrong: "), name
        assert text in output.stdout
        assert (output.status, output.stdout.count("\n")) == (3, 1)
    output = alert(*database.options, PGOPTIONS="-c nonsense=1")
    assert output.stdout.endswith(
        'FATAL: unrecognized configuration parameter "nonsense": correct PGOPTIONS, or the role\'s settings\n'
    )
    assert (output.status, output.stdout.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    "host",
    ["a..b", "a" * 64, ".", "|", "a b", "ä" * 70],
    ids=["empty part", "long part", "dot", "bar", "blank", "umlauts"],
)
def test_host_that_can_t_be_one(host: str) -> None:
    output = alert("-H", host)
    assert (output.status, output.stdout.count("\n"), output.stdout.count("|")) in ((2, 1, 0), (3, 1, 0))


def test_password_file_that_others_can_read(database: Database, missing: str, tmp_path: Path) -> None:
    """libpq says so on stderr, which a monitoring server doesn't keep."""
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:*:secret\n")
    file.chmod(0o644)
    output = alert(*database.options, PGPASSFILE=str(file))
    assert output.first_line == missing
    options = ["-H", "127.0.0.1", "-p", "1"]
    output = alert(*options, PGPASSFILE=str(file))
    assert output.status == 2
    assert output.stdout.splitlines()[1].startswith(f'the libraries said: WARNING: password file "{file}" has ')
    assert "secret" not in output.stdout


SETTINGS = [
    ("DateStyle", "'SQL, DMY'"),
    ("IntervalStyle", "'sql_standard'"),
    ("TimeZone", "'Asia/Kathmandu'"),
    ("lc_messages", "'C.UTF-8'"),
    ("search_path", "''"),
    ("search_path", "public"),
    ("default_transaction_isolation", "'serializable'"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_deferrable", "on"),
    ("standard_conforming_strings", "off"),
    ("client_min_messages", "debug5"),
    ("client_encoding", "'LATIN1'"),
    ("bytea_output", "'escape'"),
    ("extra_float_digits", "-15"),
    ("enable_seqscan", "off"),
    ("row_security", "off"),
    ("statement_timeout", "0"),
    ("work_mem", "'64kB'"),
    ("transform_null_equals", "on"),
    ("array_nulls", "off"),
]


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_settings_of_the_role_don_t_matter(
    database: Database, session: psycopg.Connection, role: str, missing: str, name: str, setting: str
) -> None:
    session.execute("UPDATE jobmon.job_check_config SET job_name = E'\\\\ÉTÉ'")
    session.execute("UPDATE jobmon.job_log SET job_name = E'\\\\ÉTÉ'")
    session.execute(f"ALTER ROLE {role} SET {name} = {setting}".encode())
    output = at_once(*database.options, "-U", role, "-j", "\\ÉtÉ", "-vv", timeout=30)
    assert (output.first_line, output.status) == (missing.replace("ETL", "\\ÉTÉ"), 2)
