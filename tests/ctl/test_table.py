"""Tables on a terminal: no row is wider than it, what matters most is shown, and -w shows all; in a pipe nothing is cut."""

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from rich.cells import cell_len

from check_jobmon.ctl.waiting import ERASE
from check_jobmon.demo.server import Server
from tests.ctl.prompt import ESCAPES, a_run, jobmonctl, on_terminal
from tests.ctl.test_commands import without_rich
from tests.ctl.test_run import JOBMONCTL, NOWHERE
from tests.database import Database, new_database
from tests.parsers import leaves_of

NAME = "夜間 BÃTCH LOAD OF E\u0301TATS"
REASON = "lo\u0308ad fäcts 夜間処理が失敗しました: " * 5
COMMANDS: dict[tuple[str, ...], list[str]] = {
    ("status",): [],
    ("show",): [],
    ("like",): ["load"],
    ("failed",): [],
    ("running",): [],
    ("detail",): [NAME],
    ("history",): [NAME],
    ("silences",): [],
    ("ack",): ["-y", NAME],
    ("run",): ["--spool-status"],
}
HEADS = {"JOB", "ACTION", "DURATION", "PATTERN"}


@contextlib.contextmanager
def _busy(database: Database) -> Iterator[Database]:
    with database.connect() as session:
        a_run(session, NAME, ("short", "OK", ""))
        a_run(session, NAME, (REASON, "CRITICAL", REASON), end="fail_job(%s)")
        session.execute(
            "INSERT INTO jobmon.job_check_config VALUES (%s, '1 day', '2 days', true, 0, '-infinity')", [NAME]
        )
        session.execute("SELECT jobmon.silence(%s, now() + interval '1 day', %s)", [NAME, REASON])
    with database.connect() as other:
        a_run(other, NAME, (REASON, "OK", REASON), end="")
        yield database


@pytest.fixture(scope="module")
def busy(server: Server, template: str) -> Iterator[Database]:
    """A database in which each command's table has a long row. All read it; none changes it but ack."""
    with new_database(server, template) as database, _busy(database):
        yield database


def table(database: Database, command: str, *arguments: str, width: int, **environment: str) -> list[str]:
    """The head and the rows of the table that a command prints on a terminal of this width."""
    with on_terminal(database, command, *arguments, TERMINAL_WIDTH=str(width), **environment) as terminal:
        assert terminal.end() == 0, terminal.text
    # where the server takes its time, the command says that it waits for it, in a line that is erased
    printed = [line.rpartition(ERASE)[2] for line in terminal.raw.split("\n")]
    lines = [ESCAPES.sub("", line).rstrip() for line in printed]
    first = next(number for number, line in enumerate(lines) if HEADS & set(line.split()))
    return [line for line in lines[first:] if line and not line.startswith("removed")]


def spooling(folder: Path) -> dict[str, str]:
    """An environment in which a run waits in the spool."""
    environment = {"XDG_STATE_HOME": str(folder / "a folder with a rather long name")}
    command = [JOBMONCTL, "run", NAME, *NOWHERE, "--", "false"]
    assert subprocess.run(command, check=False, env={**os.environ, **environment}).returncode == 1
    return environment


def test_every_command_that_prints_a_table_is_known() -> None:
    wide = {path for path, parser in leaves_of("jobmonctl").items() if "--wide" in parser._option_string_actions}
    assert wide == set(COMMANDS)


READING = [path for path in COMMANDS if path != ("ack",)]


@pytest.fixture
def own_busy(database: Database) -> Iterator[Database]:
    """The same for one test."""
    with _busy(database):
        yield database


def heads(database: Database, path: tuple[str, ...], width: int, environment: dict[str, str]) -> list[str]:
    """Those of the command's table, of which no row is wider than the terminal, and the names are whole."""
    if path not in READING:
        with database.connect() as session:
            a_run(session, NAME, (REASON, "CRITICAL", REASON), end="fail_job(%s)")
    head, *rows = table(database, *path, *COMMANDS[path], width=width, **environment)
    assert rows
    assert [line for line in (head, *rows) if cell_len(line) > width] == []
    assert not {"JOB", "PATTERN"} & set(head.split()) or all(NAME in row for row in rows), rows
    return head.split()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_row_is_wider_than_the_terminal_and_names_are_whole(
    request: pytest.FixtureRequest, tmp_path: Path, path: tuple[str, ...]
) -> None:
    """The narrowest and the widest, and one between them in turn; without rich, which tables don't need, one in turn."""
    database = request.getfixturevalue("busy" if path in READING else "own_busy")
    environment = spooling(tmp_path) if path == ("run",) else {}
    number = [*COMMANDS].index(path)
    widths = (60, (80, 120)[number % 2], 200)
    shown = [len(heads(database, path, width, environment)) for width in widths]
    assert shown == sorted(shown)
    assert shown[0] < shown[-1]
    assert heads(database, path, (60, 80, 120, 200)[number % 4], environment | without_rich(tmp_path))


@pytest.mark.parametrize("path", READING, ids=" ".join)
def test_wide_on_a_terminal_is_what_a_pipe_has(busy: Database, tmp_path: Path, path: tuple[str, ...]) -> None:
    environment = {**spooling(tmp_path), "PGTZ": "UTC"} if path == ("run",) else {"PGTZ": "UTC"}

    def without_times(text: str) -> list[str]:
        # the rows say how long a run has been under way, and bars are as long as that
        return [word for word in text.split() if not any(c.isdigit() for c in word) and not set(word) <= set("+#x.")]

    piped = jobmonctl(busy, path[0], *COMMANDS[path], **environment).stdout
    wide = table(busy, *path, *COMMANDS[path], "-w", width=60, **environment)
    assert without_times("\n".join(wide)) == without_times(piped)[-len(without_times("\n".join(wide))) :]
    assert path == ("history",) or any(cell_len(line) > 60 for line in wide)


@pytest.mark.parametrize("width", [20, 39, 80])
def test_a_name_that_does_not_fit_is_cut_last(database: Database, session: psycopg.Connection, width: int) -> None:
    a_run(session, "N" * 500)
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '2 days', true, 0, '-infinity')")
    head, *rows = table(database, "status", width=width)
    assert all(cell_len(line) <= width for line in (head, *rows))
    cells = rows[0].split()
    assert (head.split()[0], cells[:3]) == (
        "STATE",
        ["CRITICAL", "ETL", "missing…" if width == 39 else "missing,"],
    ) or width == 20
    assert f"{'N' * (width // 5)}" in rows[1]


def test_a_terminal_of_one_column_is_no_error(database: Database, session: psycopg.Connection) -> None:
    a_run(session, NAME)
    with on_terminal(database, "status", TERMINAL_WIDTH="1") as terminal:
        assert terminal.end() == 0


def test_a_time_zone_with_a_long_name_costs_no_column(database: Database, session: psycopg.Connection) -> None:
    a_run(session, "nightly etl", ("load", "CRITICAL", REASON), end="fail_job(%s)")
    zone = {"PGTZ": "America/Argentina/ComodRivadavia"}
    head, row = table(database, "show", width=80, **zone)
    assert re.search(r"  STARTED \(America\S*…  ", head)
    assert re.search(r"  NIGHTLY ETL  20\S+ \S+  ", row)
    assert max(map(cell_len, (head, row))) <= 80
    head, *_ = table(database, "show", width=200, **zone)
    assert f"STARTED ({zone['PGTZ']})" in head
