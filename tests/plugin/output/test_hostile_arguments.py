"""Names that the caller gives, and names of roles, schemas and databases: none reaches a terminal raw, in no command."""

import argparse
import os
import traceback
import unicodedata
from collections.abc import Callable, Iterator

import pytest
from psycopg import pq, sql

from check_jobmon.ctl import dispatch
from check_jobmon.demo.server import Server
from check_jobmon.plugin import cli
from tests.database import Database, bootstrap
from tests.parsers import leaves

NAME = "evil\x1b[31m\nLINE\r\u202e\x9b"
BYTES = os.fsdecode(b"caf\xe9\xff")
COMMAND = ["--", "true"]
"""What `jobmonctl run` is given to run."""
Main = Callable[[list[str]], int]


PARSERS = dict([*leaves(cli.command_line()), *leaves(dispatch.command_line())])
"""By the words of a command its parser; the plugin's has none."""
PROGRAMS = [(dispatch.main if path else cli.main, path) for path in PARSERS]
every_command = pytest.mark.parametrize(
    ("main", "path"), PROGRAMS, ids=[" ".join(path) or "check" for _, path in PROGRAMS]
)


def _accepts(action: argparse.Action) -> bool:
    try:
        return callable(action.type) and bool(action.type(NAME))
    except (argparse.ArgumentTypeError, ValueError):
        return False


def _positional(path: tuple[str, ...], text: str) -> list[str]:
    """Arguments of which each is the text, or a number where it can't be one."""
    actions = [action for action in PARSERS[path]._actions if not action.option_strings]
    return [text if _accepts(action) or action.type is None else "1" for action in actions]


def _silent(main: Main, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """What is printed does nothing to a terminal. In a process of its own, which may end as it likes."""
    process = os.fork()
    if process == 0:
        try:
            main(arguments)
        except SystemExit:
            pass
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.waitpid(process, 0)
    for text in capfd.readouterr():
        raw = [character for character in text if unicodedata.category(character).startswith("C") and character != "\n"]
        assert not raw, (arguments, text)
        assert "\nLINE" not in text, (arguments, text)
        assert "Traceback" not in text
        assert " a bug " not in text, (arguments, text)
        assert r"\udc" not in text, (arguments, text)


@every_command
def test_no_argument_is_printed_raw(
    database: Database,
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    main: Main,
    path: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    tail = COMMAND if path == ("run",) else []
    given = [*path, *database.options, *_positional(path, NAME)]
    _silent(main, [*given, *tail], capfd)
    for action in PARSERS[path]._actions:
        if action.option_strings and action.nargs in (None, "?") and action.option_strings[0] != "-h":
            _silent(main, [*given, action.option_strings[-1], NAME, *tail], capfd)


@every_command
def test_bytes_that_are_not_utf_8_are_no_bug_in_any_argument(
    database: Database,
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    main: Main,
    path: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    tail = ["--", "true", BYTES] if path == ("run",) else []
    options = [a for a in PARSERS[path]._actions if a.option_strings and a.nargs in (None, "?")]
    for word in (BYTES, f"1{BYTES}", f"nagios:{BYTES}"):
        for wrong in ([], [BYTES], [f"--{BYTES}"], *([option.option_strings[-1], word] for option in options)):
            _silent(main, [*path, *database.options, *_positional(path, word), *wrong, *tail], capfd)


VARIABLES = [default.envvar.decode() for default in pq.Conninfo.get_defaults() if default.envvar]
OTHER_VARIABLES = ["CHECK_JOBMON_CONFIG", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME", "PGPASSFILE", "PGSERVICEFILE"]


@pytest.mark.parametrize("path", [(), ("show",), ("run",), ("bootstrap",)], ids=["check", "show", "run", "bootstrap"])
def test_bytes_that_are_not_utf_8_are_no_bug_in_any_variable(
    database: Database,
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    path: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    said = {"PGHOST": "-H", "PGPORT": "-p", "PGDATABASE": "-d", "PGUSER": "-U"}
    for name in {*VARIABLES, *OTHER_VARIABLES}:
        options = database.options
        if name in said:
            at = options.index(said[name])
            del options[at : at + 2]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, BYTES)
            given = [*path, *options, *(["etl", "--", "true"] if path == ("run",) else [])]
            _silent(dispatch.main if path else cli.main, given, capfd)


@pytest.fixture(scope="module")
def hostile(server: Server) -> Iterator[Database]:
    """A database of such a name that has the job log twice, also in a schema of such a name; and a role without rights."""
    name, role = sql.Identifier(NAME), sql.Identifier(f"{NAME}role")
    with Database(server, "postgres").connect() as session:
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        session.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    found = Database(server, NAME)
    try:
        with found.connect() as session:
            bootstrap(session, "jobmon")
            session.execute(sql.SQL("ALTER SCHEMA jobmon RENAME TO {}").format(name))
            bootstrap(session, "jobmon")
        yield found
    finally:
        with Database(server, "postgres").connect() as session:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            session.execute(sql.SQL("DROP ROLE {}").format(role))


@every_command
def test_no_name_of_a_role_schema_or_database_is_printed_raw(
    hostile: Database,
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    main: Main,
    path: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    tail = COMMAND if path == ("run",) else []
    given = [*path, *hostile.options, *_positional(path, "etl")]
    for more in ([], ["-U", f"{NAME}role"], ["-U", NAME], ["-d", "postgres"]):
        for schema in ([], ["--schema", NAME]):
            _silent(main, [*given, *schema, *more, *tail], capfd)
