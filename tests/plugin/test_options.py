"""The connection options, the options that change the judgement, and completion, as a shell runs them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from check_jobmon.config.services import service_of
from check_jobmon.ctl import dispatch
from check_jobmon.judging.result import failed
from check_jobmon.plugin import cli
from check_jobmon.plugin.targets.nagios import _command
from check_jobmon.plugin.targets.passive_results import PassiveResult
from tests.database import Database, Output, run_module
from tests.parsers import leaves
from tests.plugin.output.guidelines import parse

SECRET = "hunter2-secret"


def conninfo(database: Database, **more: str) -> str:
    """A connection string to the database."""
    return " ".join(f"{key}={val}" for key, val in {**database.parameters, **more}.items())


def uri(database: Database, user: str = "postgres", more: str = "") -> str:
    """The same as a URI."""
    folder = str(database.server.folder).replace("/", "%2F")
    return f"postgresql://{user}@{folder}:{database.server.port}/{database.name}{more}"


def connected(output: Output, database: Database) -> None:
    """Assert that the check has reached that database."""
    assert (output.status, output.stderr) == (0, ""), output.stdout
    assert f'connection: "{database.name}" at ' in output.stdout


def test_a_connection_string_or_uri_connects(database: Database) -> None:
    connected(run_module("check_jobmon", "--conninfo", conninfo(database), "-vvv"), database)
    connected(run_module("check_jobmon", "--conninfo", uri(database), "-vvv"), database)
    connected(run_module("check_jobmon", "--conninfo", uri(database, more="?application_name=me"), "-vvv"), database)


@pytest.mark.parametrize("form", [conninfo, uri])
def test_options_of_their_own_win_over_conninfo(database: Database, empty_database: Database, form: object) -> None:
    given = conninfo(empty_database) if form is conninfo else uri(empty_database)
    connected(run_module("check_jobmon", "--conninfo", given, "-d", database.name, "-vvv"), database)
    output = run_module("check_jobmon", "--conninfo", given, "-p", "1", "-vvv")
    assert "connection to server on socket" in output.first_line
    assert output.status == 2


@pytest.mark.parametrize("verbosity", [[], ["-vvv"]], ids=["", "vvv"])
def test_a_password_is_refused_and_not_repeated(database: Database, verbosity: list[str]) -> None:
    for given in (
        conninfo(database, password=SECRET),
        conninfo(database, sslpassword=SECRET),
        uri(database, f"postgres:{SECRET}"),
        uri(database, more=f"?password={SECRET}"),
    ):
        output = run_module("check_jobmon", "--conninfo", given, *verbosity)
        assert output == Output(
            3,
            "JOBMON UNKNOWN - --conninfo has a password, which everybody on this machine can see: "
            "put it into ~/.pgpass or a service file\n",
            "",
        )


@pytest.mark.parametrize(
    "given",
    [f"password={SECRET} nonsense", f"postgresql://u:{SECRET}@[::1/x", f"passwort={SECRET}", f"host='{SECRET}", SECRET],
)
def test_a_malformed_conninfo_is_unknown_and_not_repeated(given: str) -> None:
    output = run_module("check_jobmon", "--conninfo", given, "-vvv")
    assert output == Output(
        3,
        "JOBMON UNKNOWN - --conninfo is neither a connection string nor a URI of libpq's: "
        "give host=... dbname=... or postgresql://...\n",
        "",
    )


def test_a_password_where_none_is_expected_is_a_usage_error() -> None:
    output = run_module("check_jobmon", "--password", "x")
    assert output.first_line == "JOBMON UNKNOWN - unrecognized arguments: --password x (see check_jobmon --help)"
    assert output.status == 3


def service_file(folder: Path, database: Database) -> str:
    """A pg_service.conf with the database as the service etl."""
    path = folder / "pg_service.conf"
    settings = "".join(f"{key}={val}\n" for key, val in database.parameters.items())
    path.write_text(f"[etl]\n{settings}", encoding="utf-8")
    return str(path)


def test_a_service_connects_and_options_win_over_it(
    database: Database, empty_database: Database, tmp_path: Path
) -> None:
    services = service_file(tmp_path, database)
    connected(run_module("check_jobmon", "--service", "etl", "-vvv", PGSERVICEFILE=services), database)
    connected(run_module("check_jobmon", "--conninfo", "service=etl", "-vvv", PGSERVICEFILE=services), database)
    connected(run_module("check_jobmon", "-vvv", PGSERVICEFILE=services, PGSERVICE="etl"), database)
    output = run_module("check_jobmon", "--service", "etl", "-d", empty_database.name, PGSERVICEFILE=services)
    assert output.first_line.startswith(f'JOBMON UNKNOWN - no jobmon schema in database "{empty_database.name}"')


def test_an_unknown_service_is_named(database: Database, tmp_path: Path) -> None:
    output = run_module("check_jobmon", "--service", "elt", PGSERVICEFILE=service_file(tmp_path, database))
    assert 'definition of service "elt" not found' in output.first_line
    assert output.status in (2, 3)
    assert (output.stdout.count("\n"), output.stderr) == (1, "")


def fail(session: psycopg.Connection, times: int, level: int = 3) -> None:
    """Let the job ETL, which is not configured, fail so often."""
    for _ in range(times):
        session.execute("SELECT jobmon.fail_job(jobmon.add_job('etl'), %s)", [level])


@pytest.mark.parametrize(
    ("failed", "options", "status"),
    [(2, [], 0), (3, [], 2), (1, ["--failures", "1"], 2), (3, ["--failures", "4"], 0), (4, ["--failures", "4"], 2)],
)
def test_jobs_without_configuration_alert_after_so_many_failures(
    database: Database, session: psycopg.Connection, failed: int, options: list[str], status: int
) -> None:
    fail(session, failed)
    output = database.check(*options)
    assert output.status == status
    assert f"ETL failed {failed} time" in output.first_line
    assert ("no alert, but" in output.first_line) == (status == 0)


def test_failures_is_for_jobs_without_configuration_only(database: Database, session: psycopg.Connection) -> None:
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 hour', '2 hours', true, 2, '-infinity')")
    fail(session, 2)
    assert database.check("--failures", "1").status == 0
    fail(session, 1)
    assert database.check("--failures", "9").status == 2


@pytest.mark.parametrize(
    ("which", "jobs"), [("all", {"CUBE", "ETL"}), ("problems", {"ETL"}), ("summary", set()), ("none", None)]
)
def test_perfdata_is_what_was_asked_for(
    database: Database, session: psycopg.Connection, which: str, jobs: set[str] | None
) -> None:
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('CUBE', '1 hour', '2 hours', true, 0, '-infinity')")
    session.execute("SELECT jobmon.close_job(jobmon.add_job('cube'))")
    fail(session, 3)
    for verbosity in ([], ["-vv"]):
        parsed = parse(database.check("--perfdata", which, *verbosity).stdout)
        labels = set(parsed.values)
        if jobs is None:
            assert labels == set()
        else:
            figures = {f"{job} {figure}" for job in jobs for figure in ("age", "failures", "duration")}
            assert labels == {"critical", "warning", "ok", "query", "unknown", "silenced", "waiting"} | figures
        assert parsed.text.startswith("JOBMON CRITICAL - 1 critical, 1 ok: ETL failed 3 times")


@pytest.mark.parametrize("options", [["-w", "5"], ["-c", "5"], ["-w", "5", "-c", "9"]])
def test_thresholds_are_not_options(options: list[str]) -> None:
    output = run_module("check_jobmon", *options)
    assert output.status == 3
    assert "unrecognized arguments: -" in output.first_line


@pytest.mark.parametrize("limit", [200, 300])
def test_an_error_keeps_to_max_output(limit: int) -> None:
    output = run_module("check_jobmon", "-H", "/" + "no such folder/" * 20, "--max-output", str(limit))
    assert output.status == 2
    assert len(output.stdout.encode()) <= limit
    assert output.stdout.endswith("…\n")


# Completion


def programs() -> Path:
    """The folder of the console scripts of the Python that runs the tests."""
    folder = Path(sys.executable).parent
    assert (folder / "check_jobmon").exists(), "the tests run where the package is installed"
    return folder


def completed(line: str) -> list[str]:
    """What bash offers at the end of the line, by the function that argcomplete's own shell code defines."""
    bash = shutil.which("bash")
    assert bash
    script = r"""
        eval "$(register-python-argcomplete "$1")"
        COMP_LINE=$2
        COMP_POINT=${#COMP_LINE}
        COMP_WORDS=($COMP_LINE)
        COMP_TYPE=9
        [[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        function=$(complete -p "$1" | sed -E "s/.*-F ([^ ]+).*/\\1/")
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>&1
        printf "%s\\n" "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        [bash, "--norc", "-c", script, "bash", line.split()[0], line],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "PATH": f"{programs()}:{os.environ['PATH']}"},
    )
    assert done.stderr == ""
    return [word.strip() for word in done.stdout.splitlines() if word.strip()]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("check_jobmon --max", ["--max-output"]),
        ("check_jobmon --con", ["--config", "--conninfo", "--connection-error"]),
        ("check_jobmon --crashed ", ["ok", "warning", "critical"]),
        ("check_jobmon --perfdata p", ["problems"]),
        ("check_jobmon --connection-error u", ["unknown"]),
        ("jobmonctl boot", ["bootstrap"]),
        ("jobmonctl bootstrap --sch", ["--schema"]),
    ],
)
def test_bash_completes_options_values_and_commands(line: str, offered: list[str]) -> None:
    assert sorted(completed(line)) == sorted(offered)


@pytest.mark.parametrize("module", ["check_jobmon/plugin/cli.py", "check_jobmon/ctl/__init__.py"])
def test_global_completion_finds_its_marker(module: str) -> None:
    head = (Path(__file__).parents[2] / module).read_text(encoding="utf-8")[:1024]
    assert "PYTHON_ARGCOMPLETE_OK" in head


@pytest.mark.parametrize(
    ("module", "arguments"), [("check_jobmon", ["-p", "1", "-H", "/nowhere"]), ("check_jobmon.ctl", ["--version"])]
)
def test_an_ordinary_run_imports_nothing_of_argcomplete(module: str, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    imported = re.findall(r"\| +(\S+)$", done.stdout + done.stderr, re.M)
    assert "argparse" in imported
    assert not [name for name in imported if name.startswith("argcomplete")]


def test_an_empty_value_is_no_value(capfd: pytest.CaptureFixture[str]) -> None:
    """Of every option of every command: it is refused, and never stands for the current folder or the like."""
    tried = 0
    for module, program, refused in (
        ("check_jobmon", cli.command_line(), 3),
        ("check_jobmon.ctl", dispatch.command_line(), 2),
    ):
        for path, parser in leaves(program):
            for action in parser._actions:
                if action.option_strings and action.nargs != 0 and action.const is None:
                    arguments = [*path, action.option_strings[-1], ""]
                    try:
                        (cli if module == "check_jobmon" else dispatch).main(arguments)
                        status = None
                    except SystemExit as end:
                        status = end.code
                    said = "".join(capfd.readouterr())
                    assert (status, f"argument {'/'.join(action.option_strings)}: " in said) == (refused, True), (
                        arguments
                    )
                    tried += 1
    assert tried > 100


def test_a_services_name_fits_into_a_command_for_nagios(tmp_path: Path) -> None:
    output = run_module("check_jobmon", "--targets", "x", "--submit", "nagios:/nowhere", "--service-name", "x" * 5000)
    assert output.status == 3
    assert "a service's name has at most 200 characters, and this 5000" in output.stdout
    longest = PassiveResult("h" * 1000, service_of("é" * 200, "J" * 500), failed(2, "x" * 2000), 0, 0)
    command = _command(longest, 8192, 4096)
    assert len(command) <= 4096
    assert b"JOBMON CRITICAL - x" in command
