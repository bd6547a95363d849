"""A program of today and a schema that a newer one has upgraded: who goes on, who refuses, and what each says to do."""

from pathlib import Path

import psycopg
import pytest

from check_jobmon import __version__
from check_jobmon.schema.scripts import version
from tests.ctl.prompt import a_run
from tests.ctl.test_who_may_what import PLUGIN, run_command
from tests.database import Database
from tests.parsers import commands

TOMORROW = version() + 1
NEWER = (
    f'schema "jobmon" has version {TOMORROW}, newer than the version {version()} that check_jobmon {__version__} brings: '
    "upgrade the package\n"
)
CHANGE_THE_SCHEMA = {("bootstrap",), ("bridge",), ("partition",), ("uninstall",)}
"""The commands that would change what they don't know. All others read columns and call functions that stay."""
OTHERWISE = {("config", "diff"): 1, ("migrate",): 1}
"""The exit statuses that are not 0: there are differences, and there is no extension to migrate."""


@pytest.fixture
def tomorrow(database: Database, session: psycopg.Connection) -> Database:
    """A database whose schema has the next version, with a run that has failed and a silence."""
    a_run(session, "failing", ("load", "WARNING", "boom"), end="fail_job(%s)")
    session.execute("SELECT jobmon.silence('own', now() + interval '1 hour', 'why')")
    session.execute(
        "INSERT INTO jobmon.schema_version (version, script, package) VALUES (%s, 'of tomorrow', '99')", [TOMORROW]
    )
    return database


@pytest.mark.parametrize("command", [PLUGIN, *commands()], ids=" ".join)
def test_only_what_would_change_the_schema_refuses(
    tomorrow: Database, session: psycopg.Connection, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "jobs.yml").write_text("jobs:\n  own: {warn: 1d, error: 2d}\n")
    job = a_run(session, "own", ("load", "OK", "done"), end="")
    done = run_command(tomorrow, command, "postgres", job, tmp_path)
    if command in CHANGE_THE_SCHEMA:
        assert (done.status, done.stdout, done.stderr) == (1, "", f"jobmonctl {command[0]}: {NEWER}")
    else:
        assert done.status == OTHERWISE.get(command, 0), done
        assert "newer" not in done.stderr


@pytest.mark.parametrize(
    ("gone", "command"),
    [
        ("DROP FUNCTION jobmon.silence(text, timestamptz, text, timestamptz, boolean)", ("silence",)),
        ("ALTER TABLE jobmon.job_detail RENAME message TO messages", ("show",)),
        ("ALTER TABLE jobmon.job_log RENAME status TO alert_code", PLUGIN),
    ],
)
def test_who_misses_something_names_the_command_that_says_what_to_upgrade(
    tomorrow: Database, session: psycopg.Connection, tmp_path: Path, gone: str, command: tuple[str, ...]
) -> None:
    session.execute(gone.encode())
    done = run_command(tomorrow, command, "postgres", 1, tmp_path)
    said = done.stdout if command == PLUGIN else done.stderr
    assert (done.status, said.count("\n")) == (3 if command == PLUGIN else 1, 1)
    assert 'run "jobmonctl bootstrap' in said
    assert tomorrow.ctl("bootstrap").stderr == f"jobmonctl bootstrap: {NEWER}"
