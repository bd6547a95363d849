"""--targets: one result for each, whatever happens to the others."""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from check_jobmon.plugin.targets.check_all import AT_ONCE
from tests.database import Database, Output, run_module, until, value
from tests.plugin.faults.plugin import Running, gone, locked
from tests.plugin.faults.test_network import beside_a_silent_resolver, dropping_port
from tests.plugin.output.guidelines import parse
from tests.plugin.output.hostile import TEXTS
from tests.plugin.targets.conftest import Targets
from tests.plugin.test_cli import run_job
from tests.system.conftest import FourStates

ROOT = Path(__file__).parents[3]
CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'check_jobmon'"


def check(*arguments: str, timeout: float = 30, **environment: str) -> Output:
    """Run the plugin, which has nothing to say on stderr."""
    output = run_module("check_jobmon", *arguments, "-t", f"{timeout:g}", **environment)
    assert output.stderr == ""
    return output


def test_each_target_has_a_line_and_the_worst_state_is_that_of_all(four_states: FourStates, targets: Targets) -> None:
    names = ("fine", "late", "broken", "empty")
    file = targets({name: database.parameters for name, database in zip(names, four_states, strict=True)})
    output = check("--targets", file)
    found = parse(output.stdout)
    assert output.status == 2
    assert output.first_line.startswith(
        "JOBMON CRITICAL - 1 critical, 1 warning, 1 unknown, 1 ok: broken: 101 critical"
    )
    assert [line.partition(":")[0] for line in found.long_output] == [
        "CRITICAL broken",
        "WARNING late",
        "UNKNOWN empty",
        "OK fine",
    ]
    assert {label: number for label, number in found.values.items() if label != "time"} == {
        **{"critical": 1, "warning": 1, "unknown": 1, "ok": 1},
        **{"broken critical": 101, "broken warning": 0, "broken ok": 0},
        **{"late critical": 0, "late warning": 1, "late ok": 1},
        **{"fine critical": 0, "fine warning": 0, "fine ok": 1},
    }


def test_a_target_s_line_says_what_its_own_check_would_say(four_states: FourStates, targets: Targets) -> None:
    for database, state in zip(four_states, ("OK", "WARNING", "CRITICAL", "UNKNOWN"), strict=True):
        line = check("--targets", targets({"x": database.parameters})).long_output
        said = database.check().first_line.removeprefix(f"JOBMON {state} - ")
        assert line == f"{state} x: {said}"


def test_verbose_has_each_target_s_own_long_output_under_its_line(
    database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    run_job(session, "etl", "boom")
    file = targets({"a": database.parameters, "b": database.parameters})
    lines = check("--targets", file, "-vvv").long_output.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        f"OK {name}: 1 ok: no alert, but ETL failed 1 time" for name in "ab"
    ]
    assert lines[1].startswith("    STATE  JOB")
    assert any(line.startswith(f'    connection: "{database.name}" at ') for line in lines)


def test_all_fine_is_ok(database: Database, targets: Targets) -> None:
    output = check("--targets", targets({"a": database.parameters, "b": database.parameters}))
    assert output.first_line == "JOBMON OK - 2 ok: all jobs of all targets run successfully"
    assert output.status == 0


def test_options_for_the_check_hold_for_each_target(
    database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    run_job(session, "etl", "boom")
    run_job(session, "cube", "boom")
    file = targets({"a": database.parameters, "b": database.parameters})
    assert check("--targets", file).status == 0
    output = check("--targets", file, "--failures", "1", "-x", "cube")
    assert output.status == 2
    assert output.long_output.splitlines() == [
        f"CRITICAL {name}: 1 critical, 0 ok: ETL failed 1 time (load facts: boom)" for name in "ab"
    ]
    output = check("--targets", file, "-j", "elt")
    assert output.status == 3
    assert 'UNKNOWN a: no job "ELT" was ever logged or configured: did you mean "ETL"?' in output.long_output


def test_options_for_the_connection_win_over_the_file(
    database: Database, empty_database: Database, targets: Targets
) -> None:
    file = targets({"a": {**database.parameters, "port": 1, "dbname": empty_database.name}})
    given = ["-p", str(database.server.port), "-d", database.name]
    assert check("--targets", file, *given).status == 0
    assert 'looked for "other"' in check("--targets", file, *given, "--schema", "other").first_line


def test_a_schema_of_its_own(database: Database, session: psycopg.Connection, targets: Targets) -> None:
    file = targets({"a": {**database.parameters, "schema": "jm"}, "b": {**database.parameters, "schema": "jobmon"}})
    lines = check("--targets", file).long_output.splitlines()
    assert 'looked for "jm"' in lines[0]
    assert lines[1].startswith("OK b: ")


def test_from_standard_input(database: Database, targets: Targets) -> None:
    with open(targets({"a": database.parameters})) as file:
        done = subprocess.run(
            [sys.executable, "-m", "check_jobmon", "--targets", "-"],
            stdin=file,
            capture_output=True,
            cwd=ROOT,
            check=False,
        )
    assert done.returncode == 0
    assert done.stdout.startswith(b"JOBMON OK - 1 ok: ")


WRONG_FILES = [
    ("hosts: {a: {hots: x}}", '{file}:1:13: unknown key "hots": did you mean "host"?'),
    ("hosts: {a: {}, a: {}}", '{file}:1:16: host "a" is given twice'),
    ("", '{file} has no targets: name them under "hosts:"'),
    ("jobs: {}", '{file} has no targets: name them under "hosts:"'),
    ("hosts: {a: }}", "{file}:1:13: this is not YAML"),
]


@pytest.mark.parametrize(("text", "reason"), WRONG_FILES)
def test_a_file_without_targets_or_with_mistakes_is_unknown_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "targets.yml"
    file.write_text(text)
    output = check("--targets", str(file))
    assert output.status == 3
    assert output.stdout.startswith(f"JOBMON UNKNOWN - {reason.replace('{file}', str(file))}")
    assert output.stdout.count("\n") == 1


def test_a_missing_file_is_unknown_and_one_that_never_comes_is_given_up(tmp_path: Path) -> None:
    assert check("--targets", "nosuch.yml").stdout == (
        "JOBMON UNKNOWN - nosuch.yml can't be read: No such file or directory\n"
    )
    os.mkfifo(tmp_path / "targets.yml")
    output = check("--targets", str(tmp_path / "targets.yml"), timeout=1)
    assert output.first_line.startswith("JOBMON CRITICAL - no answer within 1s while reading the configuration file (")
    assert output.status == 2


def test_a_password_is_neither_taken_nor_repeated(database: Database, targets: Targets) -> None:
    output = check("--targets", targets({"a": {**database.parameters, "password": "hunter2"}}))
    assert "no password here" in output.stdout
    assert "hunter2" not in output.stdout
    output = check("--targets", targets({"a": {}, "b": {}}), "--conninfo", "host=x password=hunter2")
    assert output.status == 3
    assert output.long_output.splitlines()[0].startswith("UNKNOWN a: --conninfo has a password")
    assert "hunter2" not in output.stdout


def test_dead_targets_neither_delay_nor_hide_the_others(database: Database, targets: Targets) -> None:
    dead = 8 * AT_ONCE
    with socket.create_server(("127.0.0.1", 0), backlog=dead) as silent, dropping_port() as dropping:
        port = silent.getsockname()[1]
        ports = [port if number % 2 else int(dropping) for number in range(dead)]
        file = targets(
            {
                **{f"dead{number}": {"host": "127.0.0.1", "port": port} for number, port in enumerate(ports)},
                **{f"fine{number}": database.parameters for number in range(5)},
            }
        )
        output = check("--targets", file, "--max-output", "1000000", "--connection-error", "warning", timeout=10)
    lines = output.long_output.splitlines()
    assert output.status == 1
    assert sum(line.startswith("OK fine") for line in lines) == 5
    assert len({line.split(":")[0] for line in lines}) == len(lines) == dead + 5
    silence = (
        r"WARNING dead\d+: no answer within [\d.]+s while connecting \(host 127\.0\.0\.1\): see that the host is up, .*"
    )
    assert all(re.fullmatch(silence, line) for line in lines[:dead])


def test_a_locked_log_hides_no_other_and_says_who_holds_it(
    database: Database,
    four_states: FourStates,
    targets: Targets,
) -> None:
    file = targets({"locked": database.parameters, "fine": four_states.ok.parameters})
    with locked(database, "job_log") as holder:
        pid = holder.info.backend_pid
        output = check("--targets", file, timeout=4)
    lines = output.long_output.splitlines()
    assert re.match(
        rf'CRITICAL locked: a table of schema "jobmon" in database "{database.name}" is locked '
        rf"\(job_log by pid {pid}, postgres, reorganizer, ",
        lines[0],
    )
    assert lines[1] == "OK fine: 1 ok: all jobs run successfully"
    assert output.status == 2


def test_what_was_found_stays_known_if_the_checking_process_is_killed(
    database: Database,
    four_states: FourStates,
    session: psycopg.Connection,
    targets: Targets,
) -> None:
    file = targets({"locked": database.parameters, "fine": four_states.ok.parameters})
    with locked(database, "job_log"), Running("--targets", file, timeout=60) as plugin:
        waiting = CONNECTED + " AND wait_event_type = 'Lock'"
        until(lambda: value(session, waiting) == 1 and value(session, CONNECTED) == 1)
        os.kill(plugin.children[0], signal.SIGKILL)
        output = plugin.output()
    assert output.long_output.splitlines() == [
        "UNKNOWN locked: the check ended with signal 9 before it had an answer: look into this machine's kernel log",
        "OK fine: 1 ok: all jobs run successfully",
    ]
    assert output.status == 3


@pytest.mark.parametrize("target", ["process", "group"])
def test_stopped_by_the_scheduler_it_leaves_no_query_behind(
    database: Database, session: psycopg.Connection, targets: Targets, target: str
) -> None:
    file = targets({"a": database.parameters, "b": database.parameters})
    with locked(database, "job_log"), Running("--targets", file, timeout=60) as plugin:
        until(lambda: value(session, CONNECTED + " AND wait_event_type = 'Lock'") == 2)
        (os.killpg if target == "group" else os.kill)(plugin.pid, signal.SIGTERM)
        output = plugin.output()
        gone(session)
    hint = "find out what sent it (the scheduler's own timeout?), or lower -t"
    assert output.stdout == f"JOBMON UNKNOWN - stopped by SIGTERM before there was an answer: {hint}\n"
    assert (output.status, output.stderr) == (3, "")


def test_a_resolver_that_never_answers_hinders_nobody_else(
    database: Database, targets: Targets, tmp_path: Path
) -> None:
    services = tmp_path / "pg_service.conf"
    services.write_text("[etl]\nhost=etl.example.com\n")
    names = {f"db{number}": {"host": f"db{number}.example.com"} for number in range(2 * AT_ONCE)}
    file = targets({**names, "service": {"service": "etl"}, "fine": database.parameters})
    check = [sys.executable, "-m", "check_jobmon", "--targets", file, "-t", "12", "--max-output", "100000"]
    done = beside_a_silent_resolver(check, tmp_path, PGSERVICEFILE=str(services))
    lines = done.stdout.splitlines()[1:]
    assert lines[-1] == "OK fine: All jobs run successfully: none is configured, and none failed"
    assert len(lines) == 2 * AT_ONCE + 2
    assert all(
        re.match(r"CRITICAL (db\d+|service): no answer within [\d.]+s while connecting", line) for line in lines[:-1]
    )
    assert done.status == 2


def test_more_targets_than_the_soft_limit_of_open_files(database: Database, targets: Targets) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent:
        place = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        file = targets({**{f"dead{number}": place for number in range(150)}, "fine": database.parameters})
        done = subprocess.run(
            [sys.executable, "-m", "check_jobmon", "--targets", file, "-t", "12", "--max-output", "100000"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard)),
            check=False,
        )
    assert "\nOK fine: " in done.stdout
    assert len(re.findall("while connecting", done.stdout.partition("\n")[2])) == 150


def test_output_is_cut_to_max_output_at_a_label(
    database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    run_job(session, "etl", "boom")
    file = targets({f"target {number}": database.parameters for number in range(30)})
    output = check("--targets", file, "--max-output", "2000", "--failures", "1")
    found = parse(output.stdout)
    assert len(output.stdout.encode()) <= 2000
    assert found.text.startswith("JOBMON CRITICAL - 30 critical, 0 ok: target 0: 1 critical, 0 ok: ETL failed 1 time")
    assert found.values["critical"] == 30
    assert re.fullmatch(
        r"left out \(--max-output 2000\): \d+ of the lines, perfdata of \d+ of the targets", found.long_output[-1]
    )


@pytest.mark.parametrize(("which", "labels"), [("none", 0), ("summary", 5), ("problems", 8), ("all", 11)])
def test_perfdata_as_told(
    database: Database,
    four_states: FourStates,
    targets: Targets,
    which: str,
    labels: int,
) -> None:
    file = targets({"late": four_states.warning.parameters, "fine": four_states.ok.parameters})
    assert len(parse(check("--targets", file, "--perfdata", which).stdout).figures) == labels


def test_names_of_targets_never_break_the_format(database: Database, targets: Targets) -> None:
    # YAML has no keys of more than 1024 characters
    names = [text for text in TEXTS if text.strip() and "/" not in text and text.isprintable() and len(text) < 1000]
    assert len(names) > 30
    output = check("--targets", targets(dict.fromkeys(names, database.parameters)), "--max-output", "1000000")
    found = parse(output.stdout)
    assert found.values["ok"] == len(names)
    assert len(found.values) == 5 + 3 * len(names)
    assert len(found.long_output) == len(names)


USAGE_ERRORS = [
    (["--targets", "f", "-H", "x"], "--host is for one database, and --targets for many: give one of them"),
    (["--targets", "f", "--service", "x"], "--service is for one database, and --targets for many: give one of them"),
    (["--targets", "f", "--config", "x"], "--config is for one database, and --targets for many: give one of them"),
    (["--submit", "nagios:/x"], "--submit goes with --targets only"),
    (["--targets", "f", "--per-job"], "--per-job goes with --submit or --output json only"),
    (["--targets", "f", "--service-name", "x"], "--service-name goes with --submit or --output json only"),
    (
        ["--targets", "f", "--output", "json", "--submit", "nagios:/x"],
        "--output and --submit are two places for the results: give one of them",
    ),
    (["--targets", "f", "--submit", "nagios:/x", "--cert", "c"], "--cert goes with --submit icinga:URL only"),
    (["--targets", "f", "--submit", "icinga:https://x", "--key", "k"], "--key goes with --cert only"),
    (["--targets", "f", "--submit", "mrtg:x"], "argument --submit: it is neither nagios:PATH nor icinga:URL"),
    (["--targets", "f", "--submit", "nagios:"], "argument --submit: it is neither nagios:PATH nor icinga:URL"),
    (
        ["--targets", "f", "--submit", "icinga:http://x:5665"],
        "argument --submit: the URL is not like https://icinga.example.com:5665 (only https is supported)",
    ),
    (
        ["--targets", "f", "--submit", "icinga:https://root:hunter2@x:5665"],
        "argument --submit: the URL has a user or password, which everybody on this machine can see: put them into ~/.netrc",
    ),
    (
        ["--targets", "f", "--submit", "nagios:/x", "--service-name", "a;b"],
        "argument --service-name: 'a;b' can't be the name of a service everywhere: give letters and digits",
    ),
    (["--targets", ""], "argument --targets: it is empty: give a value, or leave it out for the default"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE_ERRORS, ids=[" ".join(a) for a, _ in USAGE_ERRORS])
def test_options_that_make_no_sense_are_usage_errors(arguments: list[str], message: str) -> None:
    expected = f"JOBMON UNKNOWN - {message} (see check_jobmon --help)\n"
    assert run_module("check_jobmon", *arguments) == Output(3, expected, "")
