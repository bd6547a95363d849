"""Names that the caller gives, and names of roles, schemas and databases: none reaches a terminal raw, in no command."""

import argparse
import os
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterator

import pytest
from psycopg import pq, sql

from check_jobmon.ctl import dispatch
from check_jobmon.demo.server import Server
from check_jobmon.plugin import cli
from tests.database import Database, bootstrap, new_database
from tests.parsers import leaves_of, nearly_all_have

NAME = "evil\x1b[31m\nLINE\r\u202e\x9b"
BYTES = os.fsdecode(b"caf\xe9\xff")
OVER = "\n= this one is over =\n"
CHANGING = ("bootstrap", "bridge", "migrate", "partition", "uninstall")
"""The commands that have a database of their own, because they change what the others find there."""
COMMAND = ["--", "true"]
"""What `jobmonctl run` is given to run."""
Main = Callable[[list[str]], int]


PARSERS = {**leaves_of("check_jobmon"), **leaves_of("jobmonctl")}
"""By the words of a command its parser; the plugin's has none."""
PROGRAMS = [(dispatch.main if path else cli.main, path) for path in PARSERS]
every_command = pytest.mark.parametrize(
    ("main", "path"), PROGRAMS, ids=[" ".join(path) or "check" for _, path in PROGRAMS]
)


def _with_a_value(path: tuple[str, ...]) -> list[str]:
    """The long names of a command's options that take a value."""
    actions = [action for action in PARSERS[path]._actions if action.option_strings and action.nargs in (None, "?")]
    return [action.option_strings[-1] for action in actions]


def _options(path: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The options with a value that only some commands have, and two of those that nearly all have, in turn.

    An option that nearly all have is read by the same code in each: the next command has the next two.
    """
    shared = nearly_all_have([_with_a_value(each) for each in PARSERS])
    number = 2 * [*PARSERS].index(path)
    turn = {shared[place % len(shared)] for place in (number, number + 1)}
    known = _with_a_value(path)
    return [name for name in known if name not in shared], [name for name in known if name in turn]


def _accepts(action: argparse.Action) -> bool:
    try:
        return callable(action.type) and bool(action.type(NAME))
    except (argparse.ArgumentTypeError, ValueError):
        return False


def _positional(path: tuple[str, ...], text: str) -> list[str]:
    """Arguments of which each is the text, or a number where it can't be one."""
    actions = [action for action in PARSERS[path]._actions if not action.option_strings]
    return [text if _accepts(action) or action.type is None else "1" for action in actions]


def _silent(main: Main, lines: list[list[str]], capfd: pytest.CaptureFixture[str]) -> None:
    """What these command lines print does nothing to a terminal.

    In a process of their own, which may end as it likes: those that are left then have another one.
    """
    while lines:
        process = os.fork()
        if process == 0:
            try:
                for arguments in lines:
                    try:
                        main(arguments)
                    except SystemExit:
                        pass
                    except BaseException:
                        traceback.print_exc()
                    for stream in (sys.stdout, sys.stderr):
                        stream.write(OVER)
                        stream.flush()
            finally:
                os._exit(0)
        os.waitpid(process, 0)
        printed = [text.split(OVER) for text in capfd.readouterr()]
        done = min(len(printed[1]), len(lines))
        for arguments, *texts in zip(lines[:done], *printed, strict=False):
            for text in texts:
                raw = [c for c in text if unicodedata.category(c).startswith("C") and c != "\n"]
                assert not raw, (arguments, text)
                assert "\nLINE" not in text, (arguments, text)
                assert "Traceback" not in text
                assert " a bug " not in text, (arguments, text)
                assert r"\udc" not in text, (arguments, text)
        lines = lines[done:]


@pytest.fixture(scope="module")
def shared(server: Server, template: str) -> Iterator[Database]:
    """A database for all other commands."""
    with new_database(server, template) as database:
        yield database


def _database(request: pytest.FixtureRequest, path: tuple[str, ...]) -> Database:
    database: Database = request.getfixturevalue("database" if path[:1] and path[0] in CHANGING else "shared")
    return database


@every_command
def test_no_argument_is_printed_raw(
    request: pytest.FixtureRequest,
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    main: Main,
    path: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    tail = COMMAND if path == ("run",) else []
    given = [*path, *_database(request, path).options, *_positional(path, NAME)]
    own, shared = _options(path)
    more: list[list[str]] = [[], *([option, NAME] for option in (*own, *shared))]
    _silent(main, [[*given, *words, *tail] for words in more], capfd)


@every_command
def test_bytes_that_are_not_utf_8_are_no_bug_in_any_argument(
    request: pytest.FixtureRequest,
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    main: Main,
    path: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    tail = ["--", "true", BYTES] if path == ("run",) else []
    own, shared = _options(path)
    options = _database(request, path).options
    lines: list[list[str]] = []
    wrong = [[BYTES], [f"--{BYTES}"], *([option, BYTES] for option in shared)]
    for word in (BYTES, f"1{BYTES}", f"nagios:{BYTES}"):
        for more in ([], *([option, word] for option in own), *wrong):
            lines.append([*path, *options, *_positional(path, word), *more, *tail])
        wrong = []  # what says that they are wrong looks at no value
    _silent(main, lines, capfd)


VARIABLES = [default.envvar.decode() for default in pq.Conninfo.get_defaults() if default.envvar]
OTHER_VARIABLES = ["CHECK_JOBMON_CONFIG", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME", "PGPASSFILE", "PGSERVICEFILE"]


COMMANDS: list[tuple[str, ...]] = [("show",), ("run",), ("bootstrap",)]


@pytest.mark.parametrize("path", [(), *COMMANDS], ids=["check", "show", "run", "bootstrap"])
def test_bytes_that_are_not_utf_8_are_no_bug_in_any_variable(
    database: Database,
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    path: tuple[str, ...],
) -> None:
    """Each variable for the plugin, and for one of the commands, which all read them by the same code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    names = sorted({*VARIABLES, *OTHER_VARIABLES})
    said = {"PGHOST": "-H", "PGPORT": "-p", "PGDATABASE": "-d", "PGUSER": "-U"}
    lines = []
    for name in names[COMMANDS.index(path) :: len(COMMANDS)] if path else names:
        options = database.options
        if name in said:
            at = options.index(said[name])
            del options[at : at + 2]
        lines.append([name, *path, *options, *(["etl", "--", "true"] if path == ("run",) else [])])

    def with_the_variable(line: list[str]) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(line[0], BYTES)
            return (dispatch.main if path else cli.main)(line[1:])

    _silent(with_the_variable, lines, capfd)


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
    turn, lines = [*PARSERS].index(path), []
    for number, more in enumerate(([], ["-U", f"{NAME}role"], ["-U", NAME], ["-d", "postgres"])):
        # the hostile schema for each role and database by every other command, and by each for two of them
        schema = ["--schema", NAME] if (turn + number // 2 + number) % 2 else []
        lines.append([*given, *schema, *more, *tail])
    _silent(main, lines, capfd)
