"""jobmonctl run: what it passes through and on, what it logs, and what it does without a database."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from check_jobmon.recording.child_process import KILL_AFTER
from check_jobmon.recording.spool import job_log_key
from tests import warm
from tests.ctl.forked import Forked, Process
from tests.database import Database, Output, bootstrap, until, value
from tests.schema.sessions import busy

JOBMONCTL = str(Path(sysconfig.get_path("scripts")) / "jobmonctl")
RUNS = "SELECT job_name, status FROM jobmon.job_log ORDER BY job_id"
STEPS = "SELECT action, status, message FROM jobmon.job_detail ORDER BY step_id"
NOWHERE = ["-H", "127.0.0.1", "-p", "1", "-d", "etl", "-U", "nobody"]
# the shell says on its stderr which of its children a signal has killed
WAIT = (
    "exec 2>/dev/null; trap 'kill $!; echo got it; exit 7' TERM INT HUP USR1 USR2 QUIT; "
    "sleep 300 >/dev/null & echo ready; wait"
)


@dataclass(frozen=True)
class Shell:
    """Where `jobmonctl run` is called, with a spool of its own."""

    spool: Path
    options: list[str]

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**inherited, "XDG_STATE_HOME": str(self.spool.parent.parent)}

    def arguments(self, name: str, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        return [JOBMONCTL, "run", name, *self.options, *options, "--", *command]

    def run(self, name: str, *command: str, options: tuple[str, ...] = ()) -> Output:
        """Run it to its end."""
        return self.call(*self.arguments(name, *command, options=options)[1:])

    def call(self, *arguments: str) -> Output:
        if Path.cwd() == warm.ROOT and warm.same_in_a_fork(sys.executable, arguments, self.environment):
            status, *said = warm.run(sys.executable, "check_jobmon.ctl", arguments, self.environment, 60)
            return Output(status, *(data.decode(errors="replace") for data in said))
        done = subprocess.run(
            [JOBMONCTL, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
            env=self.environment,
            stdin=subprocess.DEVNULL,
        )
        return Output(done.returncode, done.stdout, done.stderr)

    def start(self, arguments: list[str], module: str = "check_jobmon.ctl", stdout: int | None = None) -> Process:
        """Start it, or a program like it, in a fork if that makes no difference."""
        if Path.cwd() == warm.ROOT and warm.same_in_a_fork(sys.executable, arguments, self.environment):
            return Forked(arguments, self.environment, module, stdout)
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            env={**self.environment, "PYTHONPATH": str(warm.ROOT)},
            stdin=subprocess.DEVNULL,
        )

    @contextlib.contextmanager
    def running(self, name: str, *command: str, options: tuple[str, ...] = ()) -> Iterator[Process]:
        """Have it run while the context lasts; the command has said a first word when it begins."""
        process = self.start(self.arguments(name, *command, options=options)[1:])
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=60)

    @property
    def spooled(self) -> list[Path]:
        return sorted(self.spool.glob("*.json"))


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """A shell whose jobs are logged in the test's database."""
    return Shell(tmp_path / "check_jobmon" / "spool", database.options)


@pytest.fixture
def cut_off(tmp_path: Path) -> Shell:
    """A shell from which no database can be reached."""
    return Shell(tmp_path / "check_jobmon" / "spool", NOWHERE)


def test_a_command_that_goes_well_is_a_run_of_one_step(shell: Shell, session: psycopg.Connection) -> None:
    done = shell.run("nightly dump", "sh", "-c", "echo one; echo two >&2; echo three")
    assert (done.status, done.stdout, done.stderr) == (0, "one\nthree\n", "two\n")
    assert session.execute(RUNS).fetchall() == [("NIGHTLY DUMP", "OK")]
    ((action, status, message),) = session.execute(STEPS).fetchall()
    assert (action, status) == ("sh -c 'echo one; echo two >&2; echo three'", "OK")
    assert sorted(message.splitlines()) == ["one", "three", "two"]
    assert shell.spooled == []


def test_a_silent_command_has_its_exit_status_for_a_message(shell: Shell, session: psycopg.Connection) -> None:
    assert shell.run("quiet", "true").status == 0
    assert session.execute(STEPS).fetchall() == [("true", "OK", "exit status 0")]


@pytest.mark.parametrize(
    ("script", "options", "status", "word", "message"),
    [
        ("echo boom >&2; exit 3", (), 3, "CRITICAL", "exit status 3: boom"),
        ("echo partial; exit 24", ("--warn-on", "23,24"), 24, "WARNING", "exit status 24: partial"),
        ("exit 25", ("--warn-on", "23,24"), 25, "CRITICAL", "exit status 25"),
        ("kill -KILL $$", ("--warn-on", "137"), -9, "CRITICAL", "killed by signal 9 (SIGKILL)"),
        ("kill -SEGV $$", (), -11, "CRITICAL", "killed by signal 11 (SIGSEGV)"),
        ("exit 137", ("--warn-on", "137"), 137, "WARNING", "exit status 137"),
        ("exit 75", (), 75, "CRITICAL", "exit status 75"),
    ],
)
def test_the_exit_status_is_the_commands_own_and_decides(
    shell: Shell,
    session: psycopg.Connection,
    script: str,
    options: tuple[str, ...],
    status: int,
    word: str,
    message: str,
) -> None:
    assert shell.run("etl", "sh", "-c", script, options=options).status == status
    assert session.execute(RUNS).fetchall() == [("ETL", word)]
    assert session.execute(STEPS).fetchall()[0][1:] == (word, message)


def test_a_command_that_is_not_there_or_can_not_be_executed_fails_its_run(
    shell: Shell, session: psycopg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "plain").write_text("no program")
    missing = shell.run("etl", "/no/such/program")
    assert (missing.status, missing.stderr) == (
        127,
        "jobmonctl run: not run: /no/such/program: No such file or directory\n",
    )
    assert shell.run("etl", str(tmp_path / "plain")).status == 126
    assert session.execute("SELECT status, message FROM jobmon.job_detail ORDER BY step_id").fetchall() == [
        ("CRITICAL", "not run: /no/such/program: No such file or directory"),
        ("CRITICAL", f"not run: {tmp_path}/plain: Permission denied"),
    ]
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")] * 2


def test_options_after_the_dashes_are_the_commands(shell: Shell, session: psycopg.Connection) -> None:
    done = shell.run("etl", "echo", "--help", "-d", "--", "--lock", "-V")
    assert (done.status, done.stdout) == (0, "--help -d -- --lock -V\n")
    assert value(session, "SELECT action FROM jobmon.job_detail") == "echo --help -d -- --lock -V"


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "etl"),
        ("run", "etl", "--"),
        ("run", "etl", "true"),
        ("run", "--", "true"),
        ("run", " ", "--", "true"),
        ("run", "\u200b\u2060\u00a0\t", "--", "true"),
        ("run", "x" * 501, "--", "true"),
        ("run", "--spool-status", "--deliver"),
        ("run", "etl", "--spool-status"),
        ("run", "etl", "--deliver"),
        ("run", "--deliver", "--", "true"),
        ("run", "etl", "--warn-on", "x", "--", "true"),
        ("run", "etl", "--warn-on", "0", "--", "true"),
        ("run", "etl", "--timeout", "-1", "--", "true"),
        ("run", "etl", "--tail", "-1", "--", "true"),
        ("run", "etl", "--tail", "1001", "--", "true"),
        ("run", "etl", "--tail", "ten", "--", "true"),
        ("run", "etl", "--conninfo", "password=secret", "--", "true"),
        ("run", "etl", "--no-such-option", "--", "true"),
    ],
)
def test_wrong_arguments_run_nothing(cut_off: Shell, arguments: tuple[str, ...]) -> None:
    done = cut_off.call(*arguments)
    assert (done.status, done.stdout) == (2, "")
    assert "jobmonctl" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not cut_off.spool.exists()


def test_help_fits_80_columns_and_has_examples(cut_off: Shell) -> None:
    done = cut_off.call("run", "--help")
    assert done.status == 0
    assert "examples:" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_output_is_passed_through_byte_for_byte(shell: Shell, session: psycopg.Connection) -> None:
    data = bytes(range(256)) * 4096
    done = subprocess.run(
        shell.arguments("etl", "sh", "-c", "tee /dev/stderr"),
        input=data,
        capture_output=True,
        env=shell.environment,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, data, data)
    message = value(session, "SELECT message FROM jobmon.job_detail")
    assert message.isprintable() or all(line.isprintable() for line in message.splitlines())


def test_stdout_and_stderr_that_are_one_stay_in_order(shell: Shell) -> None:
    script = "for i in $(seq 500); do echo out $i; echo err $i >&2; done"
    done = subprocess.run(
        shell.arguments("etl", "sh", "-c", script),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=shell.environment,
        check=False,
        timeout=60,
        text=True,
    )
    assert done.stdout == "".join(f"out {i}\nerr {i}\n" for i in range(1, 501))


def test_output_comes_while_the_command_runs(shell: Shell) -> None:
    """Without a newline, and before the command ends: it waits for an answer to it."""
    process = subprocess.Popen(
        shell.arguments("etl", "sh", "-c", "printf question; read answer; echo $answer"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=shell.environment,
    )
    assert process.stdout is not None
    assert process.stdout.read(8) == b"question"
    assert process.communicate(b"yes\n", timeout=60)[0] == b"yes\n"


def test_much_output_does_not_raise_memory(shell: Shell, session: psycopg.Connection) -> None:
    def peak(script: str) -> int:
        """The largest resident set of jobmonctl itself, in KB, by way of a process that has no other child."""
        measure = (
            "import resource, subprocess, sys;"
            "run = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE);"
            "[None for _ in iter(lambda: run.stdout.read(1000000), b'')]; run.wait();"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", measure, *shell.arguments("etl", "sh", "-c", script)],
            capture_output=True,
            env=shell.environment,
            check=True,
            timeout=120,
        )
        return int(done.stdout)

    # one endless line, then many short ones
    little, much = peak("echo little"), peak("head -c 100000000 /dev/zero; yes | head -c 100000000; echo end")
    assert much < little + 8000
    message = value(session, "SELECT message FROM jobmon.job_detail ORDER BY step_id DESC LIMIT 1")
    assert message.splitlines() == ["y"] * 9 + ["end"]


def test_only_the_last_lines_are_kept_and_made_harmless(shell: Shell, session: psycopg.Connection) -> None:
    script = r"seq 1000; printf '10%%\r100%%\n\033[31mred\033[0m\007\n\303\244 \377\000 <b>|\nlast'"
    done = shell.run("etl", "sh", "-c", f"{script}; exit 1")
    assert done.status == 1
    message = value(session, "SELECT message FROM jobmon.job_detail")
    assert message == "exit status 1: " + "\n".join(
        [*(str(i) for i in range(995, 1001)), "100%", "red", r"ä \xff\0 <b>|", "last"]
    )
    assert shell.run("etl", "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x").status == 0
    message = value(session, "SELECT message FROM jobmon.job_detail ORDER BY step_id DESC LIMIT 1")
    assert message == "…" + "x" * 1999


@pytest.mark.parametrize(
    ("lines", "to"),
    [
        *((0, "pipe"), (1, "file"), (3, "pipe"), (10, "file"), (11, "pipe")),
        *((0, "file"), (1000, "pipe"), (1000, "file")),
    ],
)
def test_tail_says_how_many_lines_are_logged(
    shell: Shell, session: psycopg.Connection, tmp_path: Path, lines: int, to: str
) -> None:
    arguments = shell.arguments("etl", "seq", "2000", options=("--tail", str(lines)))[1:]
    with (tmp_path / "out").open("wb") as file:
        process = shell.start(arguments, stdout=file.fileno() if to == "file" else None)
        process.communicate(timeout=60)
    assert process.returncode == 0
    expected = [str(i) for i in range(2001 - lines, 2001)] or ["exit status 0"]
    assert value(session, "SELECT message FROM jobmon.job_detail").splitlines() == expected


def test_a_tail_that_is_none_is_refused_with_the_range(cut_off: Shell) -> None:
    for wrong in ("-1", "1001", "ten", "", "1e3", "٣"):
        done = cut_off.run("etl", "true", options=(f"--tail={wrong}",))
        assert (done.status, done.stdout) == (2, "")
        assert f"argument --tail: {wrong!r} is not a number of lines: give one from 0 to 1000" in done.stderr


def test_a_database_of_another_encoding_gets_what_it_can_store(shell: Shell, session: psycopg.Connection) -> None:
    session.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with psycopg.connect(**{**_parameters(shell), "dbname": "latin"}, autocommit=True) as latin:
            bootstrap(latin, "jobmon")
            done = Shell(shell.spool, [*shell.options, "-d", "latin"]).run("etl", "echo", "✓ ä")
            assert (done.status, done.stdout, done.stderr) == (0, "✓ ä\n", "")
            assert latin.execute("SELECT action, message FROM jobmon.job_detail").fetchall() == [
                ("echo '\\u2713 ä'", "\\u2713 ä")
            ]
            latin.execute("DROP OWNED BY jobmon_log, jobmon_monitor")
    finally:
        session.execute("DROP DATABASE latin WITH (FORCE)")


def _parameters(shell: Shell) -> dict[str, Any]:
    names = {"-H": "host", "-p": "port", "-d": "dbname", "-U": "user"}
    return {names[option]: value for option, value in zip(shell.options[::2], shell.options[1::2], strict=True)}


def test_a_reader_that_leaves_ends_the_command_as_without_us(shell: Shell, session: psycopg.Connection) -> None:
    pipeline = subprocess.run(
        ["sh", "-c", '"$@" | head -n 1', "sh", *shell.arguments("etl", "yes")],
        capture_output=True,
        env=shell.environment,
        check=False,
        timeout=60,
        text=True,
    )
    assert (pipeline.stdout, pipeline.stderr) == ("y\n", "")
    until(lambda: session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")])
    assert str(value(session, "SELECT message FROM jobmon.job_detail")).startswith("killed by signal 13 (SIGPIPE)")


def test_a_process_that_is_left_behind_is_not_waited_for(shell: Shell, session: psycopg.Connection) -> None:
    with shell.running("etl", "sh", "-c", "echo ready; sleep 1000 & echo $!") as process:
        assert process.stdout is not None
        left = int(process.stdout.readline())
        assert process.wait(60) == 0
        os.kill(left, signal.SIGKILL)
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT])
def test_signals_are_passed_on(shell: Shell, session: psycopg.Connection, number: signal.Signals) -> None:
    with shell.running("etl", "sh", "-c", WAIT) as process:
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_detail") == 1)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (7, b"got it\n", b"")
    assert session.execute(STEPS).fetchall()[0][1:] == ("CRITICAL", "exit status 7: ready\ngot it")


def test_what_kills_the_command_kills_jobmonctl_too(shell: Shell, session: psycopg.Connection) -> None:
    with shell.running("etl", "sh", "-c", "echo ready; exec sleep 1000") as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    until(lambda: session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")])


def test_a_signal_that_was_ignored_stays_so(shell: Shell) -> None:
    script = 'trap "" HUP; exec "$@"'
    process = subprocess.Popen(
        ["sh", "-c", script, "sh", *shell.arguments("etl", "sh", "-c", "echo ready; read line; echo $line")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=shell.environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate(b"alive\n", timeout=60)[0] == b"alive\n"
    assert process.returncode == 0


def test_a_command_that_takes_too_long_is_ended(shell: Shell, session: psycopg.Connection) -> None:
    done = shell.run("etl", "sh", "-c", "echo begun; sleep 1000; echo not reached", options=("--timeout", "1"))
    assert (done.status, done.stdout) == (124, "begun\n")
    assert session.execute(STEPS).fetchall()[0][1:] == ("CRITICAL", "timed out after 1 s: begun")
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")]


def test_a_command_that_ignores_term_is_killed(shell: Shell, session: psycopg.Connection) -> None:
    script = "trap '' TERM; echo begun; while :; do sleep 0.1; done"
    arguments = shell.arguments("etl", "sh", "-c", script, options=("--timeout", "0.5"))
    process = shell.start(arguments[1:], "tests.ctl.hasty")
    process.communicate(timeout=60)
    assert (process.returncode, KILL_AFTER) == (124, 10)
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")]


def test_the_runs_pid_is_that_of_a_session_that_lives_as_long(shell: Shell, session: psycopg.Connection) -> None:
    script = "echo ready; while kill -0 $PPID; do sleep 0.05; done"
    with shell.running("etl", "sh", "-c", script) as process:
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_detail") == 1)
        alive = "SELECT application_name, state FROM jobmon.job_log AS l JOIN pg_stat_activity AS a USING (pid)"
        until(lambda: session.execute(alive).fetchall() == [("jobmonctl run etl", "idle")])
        assert value(session, "SELECT count(*) FROM jobmon.show_running()") == 1
        process.kill()
        process.wait(60)
    until(lambda: value(session, "SELECT count(*) FROM jobmon.show_running()") == 0)


def test_it_does_not_overlap_itself(shell: Shell, session: psycopg.Connection) -> None:
    with shell.running("etl", "sh", "-c", WAIT, options=("--lock",)) as process:
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_detail") == 1)
        # by the file, and where there is another spool by the database
        same = shell.run("Etl", "echo", "run", options=("--lock",))
        other = shell.run("ETL", "echo", "run", options=("--lock", "--spool", str(shell.spool / "other")))
        unlocked = shell.run("etl", "echo", "run")
        pid, job = session.execute("SELECT pid, job_id FROM jobmon.job_log ORDER BY job_id LIMIT 1").fetchall()[0]
        refusals = [
            f"the job is under way on this machine (process {process.pid})",
            f"job {job} (pid {pid}) is under way",
        ]
    assert [(done.status, done.stdout, done.stderr) for done in (same, other)] == [
        (75, "", f"jobmonctl run: {name} was not run: {refusal}\n")
        for name, refusal in zip(("Etl", "ETL"), refusals, strict=True)
    ]
    assert (unlocked.status, unlocked.stdout) == (0, "run\n")
    assert session.execute(STEPS).fetchall()[1:3] == [
        ("see that the job is not already running", "WARNING", f"not run: {refusal}") for refusal in refusals
    ]
    assert session.execute(RUNS).fetchall()[1:3] == [("ETL", "WARNING")] * 2
    assert shell.run("etl", "echo", "again", options=("--lock",)).stdout == "again\n"


def test_it_does_not_overlap_sql_job_nor_sql_job_it(
    shell: Shell, database: Database, session: psycopg.Connection
) -> None:
    with busy(database, "SELECT jobmon.sql_job('etl', 'SELECT pg_sleep(60)')") as first:
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_detail") == 1)
        done = shell.run("etl", "echo", "run", options=("--lock",))
        assert (done.status, done.stdout) == (75, "")
        assert f"(pid {first.pid}) is under way" in done.stderr
    with shell.running("etl", "sh", "-c", WAIT, options=("--lock",)):
        said = value(session, "SELECT jobmon.sql_job('etl', 'SELECT 1')")
    assert re.search(r"was not run: job \d+ \(pid \d+\) is under way", said)


NAMES = ["a|b", "two  blanks", "<b>", " etl ", "line\nbreak", "\u202eltr", "tab\t", "straße", os.fsdecode(b"caf\xe9|")]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_the_name_is_the_one_that_was_given(
    shell: Shell, cut_off: Shell, database: Database, session: psycopg.Connection, name: str
) -> None:
    text = name.replace("\udce9", r"\xe9")
    session.execute(
        "INSERT INTO jobmon.job_check_config VALUES (upper(%s), '1 hour', '2 hours', true, 0, '-infinity')", [text]
    )
    assert shell.run(name, "true").status == 0
    assert cut_off.run(name, "true").status == 0
    (spooled,) = cut_off.spooled
    assert json.loads(spooled.read_text())["name"] == text
    spooled.write_text(spooled.read_text().replace(_target(NOWHERE), _target(shell.options)))
    assert shell.call("run", "--deliver", *shell.options).stdout == "runs delivered: 1\n"
    assert value(session, "SELECT array_agg(job_name = upper(%s)) FROM jobmon.job_log", text) == [True, True]
    assert database.check().stdout.startswith("JOBMON OK - 1 ok")
    shown = database.ctl("show", name, "--json").stdout
    assert [run["job_name"] for run in json.loads(shown)] == [value(session, "SELECT upper(%s)", text)] * 2


def _target(options: list[str]) -> str:
    named = dict(zip(("host", "port", "dbname", "user"), options[1::2], strict=True))
    return job_log_key(named, "jobmon")


def test_it_does_not_overlap_sql_job_whatever_its_name(
    shell: Shell, database: Database, session: psycopg.Connection
) -> None:
    with busy(database, "SELECT jobmon.sql_job('a|b  c', 'SELECT pg_sleep(60)')"):
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_detail") == 1)
        assert shell.run("a|b  c", "echo", "run", options=("--lock",)).status == 75


@pytest.mark.parametrize(
    "argument", ["a|b", "two  blanks", "<", "it's", "line\nbreak", "x" * 2000, "$HOME", "\\"], ids=ascii
)
def test_the_command_line_that_is_logged_can_be_pasted_back(
    shell: Shell, session: psycopg.Connection, argument: str
) -> None:
    first = shell.run("etl", "printf", "%s", argument)
    action = value(session, "SELECT action FROM jobmon.job_detail")
    again = subprocess.run(["sh", "-c", action], capture_output=True, text=True, check=True)
    assert (first.stdout, again.stdout) == (argument, argument)


def test_bytes_that_are_not_utf_8_reach_the_command_and_are_logged(shell: Shell, session: psycopg.Connection) -> None:
    argument = os.fsdecode(b"caf\xe9")
    assert shell.run("etl", "test", "caf\udce9", "=", argument).status == 0
    assert shell.run("etl", "printf", r"\351").stdout == "\ufffd"
    assert session.execute("SELECT action, message FROM jobmon.job_detail ORDER BY step_id").fetchall() == [
        (r"test 'caf\xe9' = 'caf\xe9'", "exit status 0"),
        (r"printf '\351'", r"\xe9"),
    ]


def test_the_spool_says_what_waits_and_what_was_set_aside(
    shell: Shell, cut_off: Shell, session: psycopg.Connection
) -> None:
    assert cut_off.call("run", "--spool-status").stdout == f"nothing is in {cut_off.spool}\n"
    cut_off.run("etl\x1b[31m", "false")
    (waiting,) = cut_off.spooled
    bad = cut_off.spool / "bad.json"
    bad.write_text("[" * 200_000)
    head, first, second = cut_off.call("run", "--spool-status").stdout.splitlines()
    assert head.split() == ["JOB", "STARTED", "(UTC)", "WHY", "FILE"]
    assert first.startswith("etl[31m  20")
    assert first.endswith(str(waiting))
    assert "to be set aside: it is not a complete run" in second
    done = shell.run("etl", "true")
    assert done.status == 0
    assert done.stderr.startswith(f"jobmonctl run: {bad} can't be logged (it is not a complete run: ")
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]
    listed = cut_off.call("run", "--spool-status")
    assert re.search(r"set aside: it is not a complete run: .*refused/bad.json\n$", listed.stdout)
    assert (listed.status, cut_off.spooled) == (0, [waiting])


def test_without_a_database_it_does_not_overlap_itself_either(cut_off: Shell) -> None:
    with cut_off.running("etl", "sh", "-c", WAIT, options=("--lock",)):
        done = cut_off.run("etl", "echo", "run", options=("--lock",))
        assert (done.status, done.stdout) == (75, "")
        assert "the job is under way on this machine" in done.stderr
        assert [json.loads(path.read_text())["alert_code"] for path in cut_off.spooled] == [2]


def test_what_can_not_be_locked_is_not_run(cut_off: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cut_off.run("etl", "echo", "run", options=("--lock", "--spool", str(tmp_path / "file" / "spool")))
    assert (done.status, done.stdout) == (75, "")
    assert "can lock it" in done.stderr


def test_the_command_runs_without_a_database_and_the_next_run_delivers_the_log(
    shell: Shell, cut_off: Shell, session: psycopg.Connection, database: Database
) -> None:
    service = _service(shell, port="1")
    away = Shell(shell.spool, ["--service", "etl"])
    script = "echo boom; exit 4"
    with _environment(PGSERVICEFILE=str(service)):
        before = value(session, "SELECT clock_timestamp()")
        done = away.run("etl", "sh", "-c", script)
        after = value(session, "SELECT clock_timestamp()")
        assert (done.status, done.stdout) == (4, "boom\n")
        (path,) = away.spooled
        assert done.stderr.count("\n") == 1
        assert str(path) in done.stderr
        assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
        _service(shell)
        # of another job log: stays where it is
        assert cut_off.run("other", "true").status == 0
        assert away.run("next", "true").status == 0
    assert [json.loads(path.read_text())["name"] for path in away.spooled] == ["other"]
    past = (
        "SELECT owner, status, pid, start_time BETWEEN %s AND end_time, end_time <= %s"
        " FROM jobmon.job_log WHERE job_name = 'ETL'"
    )
    assert session.execute(past, [before, after]).fetchall() == [("postgres", "CRITICAL", 0, True, True)]
    detail = (
        "SELECT d.action, d.status, d.message, d.start_time = l.start_time, d.end_time = l.end_time"
        " FROM jobmon.job_detail AS d JOIN jobmon.job_log AS l USING (job_id) WHERE l.job_name = 'ETL'"
    )
    assert session.execute(detail).fetchall() == [
        ("sh -c 'echo boom; exit 4'", "CRITICAL", "exit status 4: boom", True, True)
    ]
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log WHERE job_name = 'ETL'") == 1


def _service(shell: Shell, **different: str) -> Path:
    """A service file by which libpq finds the test's database, or doesn't."""
    file = shell.spool.parent.parent / "services"
    lines = [f"{name}={value}" for name, value in {**_parameters(shell), **different}.items()]
    file.write_text("[etl]\n" + "\n".join(lines) + "\n")
    return file


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(
            Shell, "environment", property(lambda self: {**os.environ, "XDG_STATE_HOME": str(self.spool.parent.parent)})
        )
        yield


def test_deliver_delivers_and_runs_nothing(shell: Shell, session: psycopg.Connection) -> None:
    with _environment(PGSERVICEFILE=str(_service(shell, port="1"))):
        away = Shell(shell.spool, ["--service", "etl"])
        for status in ("0", "5"):
            away.run("etl", "sh", "-c", f"exit {status}")
        still_away = away.call("run", "--deliver", *away.options)
        assert (still_away.status, len(away.spooled)) == (1, 2)
        assert still_away.stderr.startswith("jobmonctl run: not all could be delivered: ")
        _service(shell)
        assert away.call("run", "--deliver", *away.options).stdout == "runs delivered: 2\n"
        assert away.call("run", "--deliver", *away.options).stdout.startswith(
            "runs delivered: 0: no run for this database waits in /"
        )
    assert session.execute(RUNS).fetchall() == [("ETL", "OK"), ("ETL", "CRITICAL")]


@pytest.mark.parametrize("back", [True, False])
def test_a_connection_that_is_lost_on_the_way_loses_no_log(
    shell: Shell, session: psycopg.Connection, back: bool
) -> None:
    """Whether the server is there again when the command ends, or only later."""
    with _environment(PGSERVICEFILE=str(_service(shell))):
        away = Shell(shell.spool, ["--service", "etl"])
        with away.running("etl", "sh", "-c", WAIT) as process:
            until(lambda: value(session, "SELECT count(*) FROM jobmon.job_detail") == 1)
            session.execute("SELECT pg_terminate_backend(pid) FROM jobmon.job_log")
            if not back:
                _service(shell, port="1")
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=60)
        assert process.returncode == 7
        assert len(away.spooled) == (0 if back else 1)
        assert (stderr == b"") is back
        _service(shell)
        away.run("next", "true")
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL"), ("NEXT", "OK")]
    assert session.execute(STEPS).fetchall()[0][1:] == ("CRITICAL", "exit status 7: ready\ngot it")
    assert value(session, "SELECT count(*) FROM jobmon.job_detail WHERE end_time IS NULL") == 0
    assert away.spooled == []


def test_beside_a_server_that_never_answers_the_command_runs_and_its_log_is_kept(shell: Shell) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        options = ["-H", "127.0.0.1", "-p", str(silent.getsockname()[1]), "-d", "etl", "-U", "x"]
        mute = Shell(shell.spool, options)
        with mute.running("etl", "sh", "-c", "echo ready") as process:
            process.communicate(timeout=60)
        assert process.returncode == 0
        assert len(mute.spooled) == 1


@pytest.mark.parametrize("options", [(), ("--lock",), ("--conninfo", "dbname=etl port=1")])
def test_a_psycopg_that_can_not_be_loaded_costs_the_log_no_run(
    cut_off: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    (tmp_path / "psycopg.py").write_text("raise ImportError('no libpq')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = cut_off.run("etl", "sh", "-c", "echo out; exit 3", options=options)
    (path,) = cut_off.spooled
    kept = f"its log is kept in {path}, and the next run delivers it"
    assert done == Output(3, "out\n", f"jobmonctl run: the run could not be logged (no libpq): {kept}\n")
    monkeypatch.delenv("PYTHONPATH")
    assert json.loads(path.read_text())["target"] == job_log_key(
        {**dict(zip(("host", "port", "dbname", "user"), NOWHERE[1::2], strict=True))}, "jobmon"
    )


def test_a_spool_that_can_not_be_written_is_said(cut_off: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cut_off.run("etl", "echo", "run", options=("--spool", str(tmp_path / "file" / "spool")))
    assert (done.status, done.stdout) == (0, "run\n")
    assert done.stderr.endswith("(Not a directory): it is lost\n")
    assert done.stderr.count("\n") == 1


def test_a_spool_that_others_may_write_costs_no_run(shell: Shell, cut_off: Shell, session: psycopg.Connection) -> None:
    assert cut_off.run("etl", "echo", "kept").status == 0
    kept = cut_off.spooled
    assert len(kept) == 1
    shell.spool.chmod(0o770)
    refusal = f"jobmonctl run: the spool folder {shell.spool} is not used: other users may write to it: chmod 700 it, "
    refusal += "or name another with --spool\n"
    for options in ((), ("--lock",)):
        assert shell.run("etl", "echo", "run", options=options) == Output(0, "run\n", refusal)
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")] * 2
    assert shell.call("run", "--deliver", *shell.options) == Output(1, "", refusal)
    away = cut_off.run("etl", "echo", "run")
    assert (away.status, away.stdout) == (0, "run\n")
    assert away.stderr.startswith(refusal)
    assert re.search(r"\): it is lost\n$", away.stderr)
    assert cut_off.run("etl", "echo", "run", options=("--lock",)).status == 75
    assert (cut_off.spooled, sorted(shell.spool.iterdir())) == (kept, kept)


# of a program that isn't there jobmonctl has something to say itself
@pytest.mark.parametrize(("command", "status"), [(["sh", "-c", "exit 3"], 3), (["/no/such/program"], 127)])
def test_a_stderr_that_nobody_reads_is_no_obstacle(cut_off: Shell, command: list[str], status: int) -> None:
    readable, writable = os.pipe()
    os.close(readable)
    with os.fdopen(writable, "wb") as broken:
        done = subprocess.run(
            cut_off.arguments("etl", *command),
            env=cut_off.environment,
            check=False,
            timeout=60,
            stderr=broken,
        )
    assert done.returncode == status
    assert len(cut_off.spooled) == 1


TREE = (
    "trap '' TERM; sh -c 'trap \"\" TERM; setsid sleep 1000 & set -m; sleep 1000 & echo $! >&2; sleep 1000' & "
    "echo ready; while :; do sleep 0.05; done"
)


@pytest.mark.parametrize("at_terminal", [False, True])
def test_a_timeout_leaves_nothing_alive(shell: Shell, session: psycopg.Connection, at_terminal: bool) -> None:
    """Neither what ignores TERM, nor what has left the process group, nor what has left the session."""
    mark = f"MARK={shell.spool}"
    arguments = shell.arguments("etl", "env", mark, "sh", "-c", TREE, options=("--timeout", "1"))[1:]
    if at_terminal:
        status, _ = _in_terminal(shell, arguments, "tests.ctl.hasty")
    else:
        process = shell.start(arguments, "tests.ctl.hasty")
        process.communicate(timeout=60)
        status = process.wait(60)
    assert status == 124
    living = [path for path in Path("/proc").glob("[0-9]*/environ") if mark in _environ(path)]
    assert living == []
    assert str(value(session, "SELECT message FROM jobmon.job_detail")).startswith("timed out after 1 s")


def _environ(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_what_ends_no_process_ends_no_run_whose_output_is_not_read(shell: Shell) -> None:
    done = shell.spool.parent.parent / "done"
    process = shell.start(shell.arguments("etl", "sh", "-c", 'head -c 100000 /dev/zero; : >"$0"', str(done))[1:])
    until(done.exists)
    for number in (signal.SIGWINCH, signal.SIGURG, signal.SIGCHLD, signal.SIGCONT):
        process.send_signal(number)
    assert process.communicate(timeout=60)[0] == bytes(100_000)
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_reader_that_has_stalled_holds_up_no_signal(shell: Shell, number: signal.Signals) -> None:
    """Nor does it hold up the timeout: the command has ended, and its output is not read."""
    for options in ((), ("--timeout", "1")):
        done = shell.spool.parent.parent / "done"
        script = 'head -c 100000 /dev/zero; : >"$0"'
        process = shell.start(shell.arguments("etl", "sh", "-c", script, str(done), options=options)[1:])
        until(done.exists)
        if not options:
            process.send_signal(number)
        assert process.wait(60) == (124 if options else -number)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stderr.close()
        done.unlink()


def test_a_command_whose_jobmonctl_was_killed_has_the_lock(cut_off: Shell) -> None:
    with cut_off.running("etl", "sh", "-c", "echo ready; exec sleep 300", options=("--lock",)) as process:
        (command,) = _children(process.pid)
        process.kill()
        process.wait(60)
        try:
            done = cut_off.run("etl", "echo", "run", options=("--lock",))
        finally:
            os.kill(command, signal.SIGKILL)
        assert (done.status, done.stdout) == (75, "")
    until(lambda: cut_off.run("etl", "echo", "run", options=("--lock",)).stdout == "run\n")


def test_what_a_command_left_behind_does_not_have_the_lock(cut_off: Shell) -> None:
    with cut_off.running("etl", "sh", "-c", "echo ready; sleep 1000 & echo $!", options=("--lock",)) as process:
        assert process.stdout is not None
        left = int(process.stdout.readline())
        assert process.wait(60) == 0
        done = cut_off.run("etl", "echo", "run", options=("--lock",))
        os.kill(left, signal.SIGKILL)
    assert done.stdout == "run\n"


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_session_that_is_lost_gets_the_lock_again(shell: Shell, session: psycopg.Connection) -> None:
    elsewhere = ("--lock", "--spool", str(shell.spool / "other"))
    with shell.running("etl", "sh", "-c", WAIT, options=("--lock",)):
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_detail") == 1)
        (first,) = session.execute("SELECT pid FROM jobmon.job_lock").fetchall()
        session.execute("SELECT pg_terminate_backend(pid) FROM jobmon.job_lock")
        until(lambda: session.execute("SELECT pid FROM jobmon.job_lock").fetchall() != [first])
        again = value(session, "SELECT pid FROM jobmon.job_lock")
        done = shell.run("etl", "echo", "run", options=elsewhere)
        assert (done.status, done.stdout) == (75, "")
        assert f"(pid {again}) is under way" in done.stderr
    assert shell.run("etl", "echo", "run", options=elsewhere).stdout == "run\n"


def test_deliver_does_not_wait_for_ever(cut_off: Shell, shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = ["-H", "127.0.0.1", "-p", str(silent.getsockname()[1]), "-d", "etl", "-U", "x"]
        mute = Shell(shell.spool, options)
        assert mute.run("etl", "true").status == 0
        done = mute.call("run", "--deliver", "--timeout", "1", *options)
    assert (done.status, done.stdout) == (1, "")
    assert "did not answer within 1s" in done.stderr


def _in_terminal(
    shell: Shell, arguments: list[str], module: str = "check_jobmon.ctl", keys: bytes = b"", after: bytes = b""
) -> tuple[int, bytes]:
    """Run in a terminal of its own; type the keys once `after` was printed."""
    terminal, slave = pty.openpty()
    process: subprocess.Popen[bytes] | warm.OnTerminal
    if Path.cwd() == warm.ROOT and warm.same_in_a_fork(sys.executable, arguments, shell.environment):
        process = warm.OnTerminal(sys.executable, module, arguments, shell.environment, slave)
    else:
        process = subprocess.Popen(
            ["setsid", "-c", sys.executable, "-m", module, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**shell.environment, "PYTHONPATH": str(warm.ROOT)},
        )
    os.close(slave)
    printed = b""
    with contextlib.suppress(OSError):
        while select.select([terminal], [], [], 60)[0] and (data := os.read(terminal, 4096)):
            printed += data
            if keys and after in printed:
                os.write(terminal, keys)
                keys = b""
    os.close(terminal)
    return process.wait(60), printed


def test_at_a_terminal_the_command_has_one_too(shell: Shell, session: psycopg.Connection) -> None:
    status, printed = _in_terminal(
        shell,
        shell.arguments("etl", "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && printf 'a\\nb\\n'; exit 3")[1:],
    )
    assert (status, printed) == (3, b"a\r\nb\r\n")
    assert value(session, "SELECT message FROM jobmon.job_detail") == (
        "exit status 3 (its output went to the terminal)"
    )


def test_ctrl_c_reaches_the_command_once(shell: Shell, session: psycopg.Connection) -> None:
    script = (
        "n=0; trap 'n=$((n+1)); echo int $n' INT; echo ready; while test $n = 0; do sleep 0.05; done; sleep 1; exit $n"
    )
    status, printed = _in_terminal(
        shell, shell.arguments("etl", "bash", "-c", script)[1:], keys=b"\x03", after=b"ready"
    )
    assert status == 1
    assert printed.count(b"int") == 1
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")]


def test_what_is_typed_reaches_the_command(shell: Shell) -> None:
    status, printed = _in_terminal(
        shell,
        shell.arguments("etl", "sh", "-c", "echo name?; read name; echo hello $name")[1:],
        keys=b"you\n",
        after=b"name?",
    )
    assert status == 0
    assert b"hello you" in printed
