"""jobmonctl --targets: one table over many databases, whatever happens to one of them."""

import contextlib
import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.ctl import dispatch
from tests.ctl.prompt import SCRIPT, a_run, on_terminal
from tests.database import Database, Output, run_module, until
from tests.parsers import leaves
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.conftest import targets as targets
from tests.system.conftest import FourStates
from tests.system.conftest import four_states as four_states

COMMANDS = ("status", "failed", "running", "silences")


def ctl(*words: str, **environment: str) -> Output:
    return run_module("check_jobmon.ctl", *words, **environment)


def test_the_commands_that_have_it_are_known() -> None:
    having = {path for path, parser in leaves(dispatch.command_line()) if "--targets" in parser._option_string_actions}
    assert having == {("config", "services"), ("report",), *((command,) for command in COMMANDS)}


def test_status_is_one_table_worst_first(four_states: FourStates, targets: Targets) -> None:
    names = ("fine", "late", "broken", "empty")
    file = targets(
        {
            **{name: database.parameters for name, database in zip(names, four_states, strict=True)},
            "gone": {"host": "127.0.0.1", "port": 1},
        }
    )
    output = ctl("status", "--targets", file, PGTZ="UTC")
    title, head, *rows = output.stdout.splitlines()
    assert output.status == 1
    assert output.stderr == "jobmonctl status: 2 of 5 targets could not be asked\n"
    assert re.fullmatch(r"2 of 5 targets could not be asked, 101 CRITICAL, 1 WARNING, 2 OK \(20\S+ \S+ UTC\)", title)
    assert head.split()[:3] == ["HOST", "STATE", "JOB"]
    hosts = [row.split()[0] for row in rows]
    assert hosts == ["empty", "gone", *["broken"] * 101, "late", "fine", "late"]
    assert "UNKNOWN" in rows[0]
    assert "no jobmon schema in database" in rows[0]
    assert "see that the server runs" in rows[1]
    objects = json.loads(ctl("status", "--targets", file, "--json").stdout)
    assert [found["host"] for found in objects] == hosts
    assert set(objects[0]) == {"host", "error"}
    single = json.loads(four_states.warning.ctl("status", "--json").stdout)
    figures = {"age", "duration", "last_end"}
    mine = [found for found in objects if found["host"] == "late"]
    assert [{k: v for k, v in one.items() if k not in figures} for one in mine] == [
        {"host": "late", **{k: v for k, v in one.items() if k not in figures}} for one in single
    ]
    chosen = ctl("status", "--targets", file, "-H", "l*, fine", "--problems").stdout.splitlines()
    assert [row.split()[:2] for row in chosen[2:]] == [["late", "WARNING"]]
    assert chosen[0].startswith("0 CRITICAL, 1 WARNING, 2 OK (20")


def test_runs_of_all_are_in_one_order(database: Database, session: psycopg.Connection, targets: Targets) -> None:
    for name in ("etl", "cube", "load"):
        a_run(session, name, ("copy", "CRITICAL", "boom"), end="fail_job(%s)")
    with database.connect() as other:
        a_run(other, "import", end="")
        file = targets({"a": database.parameters, "b": {**database.parameters, "schema": "jobmon"}})
        for command, expected in (("failed", ["LOAD", "LOAD", "CUBE", "CUBE"]), ("running", ["IMPORT", "IMPORT"])):
            output = ctl(command, "--targets", file, "-n", "4")
            assert (output.status, output.stderr) == (0, "")
            rows = [row.split() for row in output.stdout.splitlines()]
            assert rows[0][:3] == ["HOST", "JOB_ID", "JOB"]
            assert [row[2] for row in rows[1:]] == expected
            assert {row[0] for row in rows[1:]} == {"a", "b"}
            objects = json.loads(ctl(command, "--targets", file, "-n", "4", "--json").stdout)
            assert [(one["host"], one["job_name"]) for one in objects] == [(row[0], row[2]) for row in rows[1:]]


def test_silences_of_all(database: Database, session: psycopg.Connection, targets: Targets) -> None:
    file = targets({"a": database.parameters, "b": database.parameters})
    assert ctl("silences", "--targets", file).stdout == "no job is silenced, and no silence is planned\n"
    session.execute("SELECT jobmon.silence('etl', now() + interval '1 day', 'disk')")
    session.execute("SELECT jobmon.silence('cube', now() + interval '2 days', 'later', now() + interval '1 day')")
    rows = [row.split() for row in ctl("silences", "--targets", file).stdout.splitlines()]
    assert [(row[0], row[3]) for row in rows[1:]] == [("a", "ETL"), ("b", "ETL"), ("a", "CUBE"), ("b", "CUBE")]
    assert [one["host"] for one in json.loads(ctl("silences", "--targets", file, "--json").stdout)] == [*"abab"]


def test_a_job_that_one_target_has_is_found_and_one_that_none_has_is_named(
    database: Database, session: psycopg.Connection, empty_database: Database, targets: Targets
) -> None:
    a_run(session, "etl", end="fail_job(%s)")
    session.execute("CREATE DATABASE other_one TEMPLATE jobmon_template")
    try:
        file = targets({"a": database.parameters, "b": {**database.parameters, "dbname": "other_one"}})
        for words in (["status", "-j", "etl"], ["failed", "etl"]):
            output = ctl(*words, "--targets", file)
            assert (output.status, output.stderr) == (0, "")
            assert [row.split()[0] for row in output.stdout.splitlines()[-1:]] == ["a"]
        for words in (["status", "-j", "elt"], ["failed", "elt"]):
            output = ctl(*words, "--targets", file)
            assert (output.status, output.stdout) == (1, "")
            assert output.stderr == (
                f'jobmonctl {words[0]}: a: no job "ELT" was ever logged or configured: did you mean "ETL"?\n'
            )
    finally:
        session.execute("DROP DATABASE other_one WITH (FORCE)")


def test_a_mistyped_name_is_said_beside_the_targets_that_do_not_answer(
    database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    a_run(session, "etl")
    file = targets({"a": database.parameters, "gone": {"host": "127.0.0.1", "port": 1}})
    output = ctl("status", "--targets", file, "-j", "elt")
    assert output.status == 1
    assert [line.split()[0] for line in output.stdout.splitlines()[2:]] == ["a", "gone"]
    assert 'did you mean "ETL"?' in output.stdout


def test_all_times_are_in_one_zone(database: Database, session: psycopg.Connection, targets: Targets) -> None:
    a_run(session, "etl", end="fail_job(%s)")
    session.execute(f"ALTER DATABASE {database.name} SET timezone = 'America/New_York'".encode())
    file = targets({"a": database.parameters})
    for options, environment, zone in (
        ([], {"TZ": "Asia/Kolkata"}, "Asia/Kolkata"),
        (["--utc"], {"TZ": "Asia/Kolkata"}, "UTC"),
        ([], {"TZ": "Asia/Kolkata", "PGTZ": "Europe/Berlin"}, "Europe/Berlin"),
    ):
        head = ctl("failed", "--targets", file, *options, **environment).stdout.splitlines()[0]
        assert f"STARTED ({zone})" in head


@pytest.mark.parametrize("command", COMMANDS)
def test_what_cannot_be_is_one_line(database: Database, targets: Targets, tmp_path: Path, command: str) -> None:
    file = targets({"a": database.parameters})
    for words, status, said in (
        (["--targets", file, "-H", "b*"], 1, f'{file} has no target "b*": it has a'),
        (["--targets", str(tmp_path / "none.yml")], 1, "none.yml"),
        (["--targets", file, "--service", "x"], 2, "--service is for one database, and --targets for many"),
        (["--targets", file, "--config", "x"], 2, "--config is for one database, and --targets for many"),
    ):
        output = ctl(command, *words)
        assert (output.status, output.stdout, output.stderr.count("\n")) == (status, "", 1), output
        assert said in output.stderr


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        listener.settimeout(30)
        yield listener


@pytest.fixture
def silent(listener: socket.socket) -> int:
    """Its port."""
    return int(listener.getsockname()[1])


def test_one_time_limit_holds_for_all(database: Database, targets: Targets, silent: int) -> None:
    hosts = {f"s{number}": {"host": "127.0.0.1", "port": silent} for number in range(30)}
    file = targets({**hosts, "a": database.parameters})
    # Each target is given up at nine tenths of the limit, and all that have not answered at 95 %, which has to be enough later.
    words = ("--targets", file, "--timeout", "20")
    with contextlib.ExitStack() as all_ended:
        started = {
            command: all_ended.enter_context(
                subprocess.Popen([SCRIPT, command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
            for command in COMMANDS
        }
        for command, process in started.items():
            stdout, stderr = process.communicate(timeout=60)
            assert process.returncode == 1, command
            assert stderr == f"jobmonctl {command}: 30 of 31 targets could not be asked\n"
            assert len(re.findall(r"^s\d+ .*no answer within [\d.]+s while connecting \(host 127", stdout, re.M)) == 30


def test_ctrl_c_ends_it_at_once(database: Database, targets: Targets, silent: int, listener: socket.socket) -> None:
    file = targets({"s": {"host": "127.0.0.1", "port": silent}})
    with on_terminal(database, "failed", "--targets", file, "-H", "s", "-p", str(silent)) as terminal:
        listener.accept()
        terminal.insist("\x03", "interrupted")
        assert terminal.end() == 1
        assert terminal.text.count("\n") == 1


@pytest.mark.parametrize("watching", [False, True])
def test_sigterm_leaves_nothing_behind(targets: Targets, silent: int, listener: socket.socket, watching: bool) -> None:
    file = targets({"s": {"host": "127.0.0.1", "port": silent}})
    words = [str(SCRIPT), "status", "--targets", file, *(["--watch"] if watching else [])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        with listener.accept()[0] as connection:
            process.terminate()
            assert process.wait(30) == -signal.SIGTERM
            # the child's end
            until(lambda: not connection.recv(4096))
        assert process.communicate()[0] == b""


def test_names_are_no_markup(database: Database, session: psycopg.Connection, targets: Targets) -> None:
    file = targets({"[red]\x1b[31m 夜": database.parameters})
    a_run(session, "etl", end="fail_job(%s)")
    assert ctl("failed", "--targets", file).stdout.splitlines()[1].startswith("[red][31m 夜 ")
