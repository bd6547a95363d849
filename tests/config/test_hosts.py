"""Names for hosts: what -H NAME means with a configuration file, and that it costs nothing without one."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from check_jobmon.config import ConfigFileError, hosts
from check_jobmon.config.connection_options import add_connection_arguments
from check_jobmon.config.hosts import Location, locate
from tests.database import Database, Output, bootstrap, run_module

FILE = """\
hosts:
  db: {host: db.example.com, port: 5433, dbname: etl, user: nagios, sslmode: verify-full, schema: jm}
  db.example.org: {dbname: etl}
  dw: {service: warehouse}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a configuration file, and no system's file either."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("CHECK_JOBMON_CONFIG", raising=False)
    monkeypatch.setattr(hosts, "SYSTEM", str(tmp_path / "etc.yml"))
    return tmp_path


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file with hosts, to be named by --config."""
    path = tmp_path / "hosts.yml"
    path.write_text(FILE)
    return str(path)


def arguments(*given: str) -> argparse.Namespace:
    """Parsed connection arguments."""
    parser = argparse.ArgumentParser()
    add_connection_arguments(parser)
    return parser.parse_args(given)


def test_a_name_stands_for_its_parameters_and_schema(file: str) -> None:
    parameters = {"host": "db.example.com", "port": "5433", "dbname": "etl", "user": "nagios", "sslmode": "verify-full"}
    assert locate(arguments("-H", "db", "--config", file)) == Location(parameters, "jm")


def test_options_win_over_the_file(file: str) -> None:
    given = ("-p", "1", "-d", "other", "-U", "me", "--schema", "jobmon")
    parameters = {"host": "db.example.com", "port": 1, "dbname": "other", "user": "me", "sslmode": "verify-full"}
    assert locate(arguments("-H", "db", *given, "--config", file)) == Location(parameters, "jobmon")


def test_a_connection_string_wins_over_the_file_but_not_over_the_name(file: str) -> None:
    found = locate(arguments("-H", "db", "--conninfo", "host=x dbname=other port=1", "--config", file))
    assert found.parameters == {
        "conninfo": "host=x dbname=other port=1",
        "host": "db.example.com",
        "user": "nagios",
        "sslmode": "verify-full",
    }


def test_a_name_without_a_host_of_its_own_is_the_host(file: str) -> None:
    assert locate(arguments("-H", "db.example.org", "--config", file)).parameters == {
        "host": "db.example.org",
        "dbname": "etl",
    }
    assert locate(arguments("-H", "dw", "--config", file)).parameters == {"service": "warehouse"}


@pytest.mark.parametrize("given", [("-H", "other"), ("-H", "/run/db"), ("-d", "etl"), ()])
def test_anything_else_means_what_it_always_did(file: str, given: tuple[str, ...]) -> None:
    names = {"-H": "host", "-d": "dbname"}
    parameters = {names[given[0]]: given[1]} if given else {}
    assert locate(arguments(*given, "--config", file)) == Location(parameters, "jobmon")


def test_the_file_is_found_where_it_is_documented(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def place(path: Path, port: int) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"hosts: {{db: {{port: {port}}}}}")

    def found(*given: str) -> object:
        return locate(arguments("-H", "db", *given)).parameters.get("port")

    assert found() is None
    place(home / "etc.yml", 1)
    assert found() == "1"
    place(home / ".config" / "check_jobmon.yml", 2)
    assert found() == "2"
    place(home / "xdg" / "check_jobmon.yml", 3)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    assert found() == "3"
    place(home / "environment.yml", 4)
    monkeypatch.setenv("CHECK_JOBMON_CONFIG", str(home / "environment.yml"))
    assert found() == "4"
    place(home / "given.yml", 5)
    assert found("--config", str(home / "given.yml")) == "5"


def test_names_that_the_users_file_lacks_are_looked_up_in_the_systems(home: Path) -> None:
    (home / ".config").mkdir()
    (home / ".config" / "check_jobmon.yml").write_text("hosts: {mine: {port: 1}}")
    (home / "etc.yml").write_text("hosts: {mine: {port: 2}, ours: {port: 2}}")
    assert locate(arguments("-H", "mine")).parameters["port"] == "1"
    assert locate(arguments("-H", "ours")).parameters["port"] == "2"


def test_a_file_that_is_named_has_to_be_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigFileError, match=r"nosuch\.yml can't be read: No such file or directory$"):
        locate(arguments("-H", "db", "--config", "nosuch.yml"))
    monkeypatch.setenv("CHECK_JOBMON_CONFIG", "nosuch.yml")
    with pytest.raises(ConfigFileError):
        locate(arguments("-H", "db"))


def test_the_plugin_needs_no_more_than_a_name(database: Database, home: Path) -> None:
    with database.connect() as session:
        bootstrap(session, "other_log")
        session.execute("DROP SCHEMA jobmon CASCADE")
    folder, port = database.server.folder, database.server.port
    config = home / ".config"
    config.mkdir()
    (config / "check_jobmon.yml").write_text(
        f"hosts: {{db: {{host: {folder}, port: {port}, dbname: {database.name}, user: postgres, schema: other_log}}}}"
    )
    output = run_module("check_jobmon", "-H", "db", HOME=str(home))
    assert output.first_line == "JOBMON OK - All jobs run successfully: none is configured, and none failed"
    assert (output.status, output.stderr) == (0, "")
    assert run_module("check_jobmon.ctl", "bootstrap", "-q", "-H", "db", HOME=str(home)) == Output(0, "", "")
    assert 'looked for "jobmon"' in run_module("check_jobmon", "-H", "db", "--schema", "jobmon", HOME=str(home)).stdout


BROKEN = [
    ("hosts: {db: {hots: x}}", '{file}:1:14: unknown key "hots": did you mean "host"?'),
    (
        "hosts: {db: {password: geheim, hots: x}}",
        "{file}:1:14: no password here, where everybody can read it: it belongs in ~/.pgpass (mode 600) of the user "
        "that connects, or in the file that passfile names (and 1 more)",
    ),
    (
        "hosts: {db: 'postgresql://x:geheim@y/z'}",
        '{file}:1:13: host "db" has to be a mapping (name: value), and this is a text',
    ),
]


@pytest.mark.parametrize(("text", "reason"), BROKEN, ids=["key", "password", "text"])
def test_a_mistake_in_the_file_is_unknown_in_one_line(home: Path, text: str, reason: str) -> None:
    file = home / "hosts.yml"
    file.write_text(text)
    reason = reason.replace("{file}", str(file))
    assert run_module("check_jobmon", "-H", "db", "--config", str(file)) == Output(
        3, f"JOBMON UNKNOWN - {reason}\n", ""
    )
    output = run_module("check_jobmon.ctl", "bootstrap", "-H", "db", CHECK_JOBMON_CONFIG=str(file))
    assert output == Output(1, "", f"jobmonctl bootstrap: {reason}\n")


def test_a_file_that_never_ends_or_never_comes_is_given_up_at_the_deadline(home: Path) -> None:
    os.mkfifo(home / "hosts.yml")
    output = run_module("check_jobmon", "-t", "1", "-H", "db", "--config", str(home / "hosts.yml"))
    assert output.status == 2
    assert output.stdout.startswith(
        "JOBMON CRITICAL - no answer within 1s while reading the configuration file (host db)"
    )
    output = run_module("check_jobmon", "-H", "db", "--config", "/dev/zero")
    assert (
        output.stdout == "JOBMON UNKNOWN - /dev/zero:1:1: the file is larger than 1048576 bytes, which is the limit\n"
    )


@pytest.mark.parametrize(("name", "imported"), [("db", True), ("folder", False)])
def test_yaml_is_imported_only_for_a_name_where_there_is_a_file(
    database: Database, home: Path, name: str, imported: bool
) -> None:
    config = home / ".config"
    config.mkdir()
    (config / "check_jobmon.yml").write_text(f"hosts: {{db: {{host: {database.server.folder}}}}}")
    host = name if name == "db" else str(database.server.folder)
    assert ("yaml" in _imported(database, host, home)) is imported


def test_yaml_is_not_imported_where_there_is_no_file(database: Database, home: Path) -> None:
    if os.path.exists("/etc/check_jobmon.yml"):
        pytest.skip("this machine has a file for the whole system")
    modules = _imported(database, "db.invalid", home)
    assert "psycopg" in modules
    assert "yaml" not in modules
    assert "check_jobmon.config.config_file" not in modules


def _imported(database: Database, host: str, home: Path) -> set[str]:
    """The modules that a run of the plugin imports, in all its processes."""
    report = home / "imports"
    options = ["-H", host, "-p", str(database.server.port), "-d", database.name, "-U", "postgres", "-t", "30"]
    report.touch()
    subprocess.run(
        [sys.executable, "-c", _TRACED, str(report), *options],
        stdout=subprocess.DEVNULL,
        timeout=60,
        env={**os.environ, "HOME": str(home)},
        check=False,
    )
    return set(report.read_text().split())


# -X importtime writes to standard error, which the plugin's child process keeps to itself
_TRACED = """
import sys
class Trace:
    def find_spec(self, name, path=None, target=None):
        with open(sys.argv[1], "a") as report:
            print(name, file=report)
sys.meta_path.insert(0, Trace())
from check_jobmon.plugin.cli import main
main(sys.argv[2:])
"""
