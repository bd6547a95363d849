"""Who may do what: each role that bootstrap makes, with each command, and which role a refused command says to ask for."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo.server import Server
from check_jobmon.schema.roles import ROLES
from tests.ctl.prompt import a_run
from tests.database import Database, Output, run_module, value
from tests.parsers import commands

READERS = ("read", "monitor", "admin")
PLUGIN = ("check_jobmon",)
MAY: dict[tuple[str, ...], tuple[tuple[str, ...], str]] = {
    PLUGIN: (READERS, "monitor"),
    ("status",): (READERS, "monitor"),
    ("show",): (("log", *READERS), "monitor"),
    ("like",): (("log", *READERS), "monitor"),
    ("failed",): (("log", *READERS), "monitor"),
    ("running",): (("log", *READERS), "monitor"),
    ("detail",): (("log", *READERS), "monitor"),
    ("history",): (("log", *READERS), "monitor"),
    ("cancel",): (("log", "admin"), "admin"),
    ("ack",): (("admin",), "admin"),
    ("clear",): (("admin",), "admin"),
    ("config", "apply"): (("admin",), "admin"),
    ("config", "diff"): (READERS, "monitor"),
    ("config", "export"): (READERS, "monitor"),
    ("config", "check"): (("nobody", *ROLES), ""),
    ("run",): (("log", "admin"), "log"),
    ("bootstrap",): ((), ""),
    ("uninstall",): ((), ""),
}
"""For each command, the roles that may, and the one that the others are told to ask for: none if it is the owner's alone."""
ARGUMENTS: dict[tuple[str, ...], list[str]] = {
    ("like",): ["own"],
    ("history",): ["own"],
    ("detail",): ["own"],
    ("ack",): ["-y", "failing"],
    ("clear",): ["-y", "90 days"],
    ("uninstall",): ["-y"],
}


@pytest.fixture(scope="module")
def members(server: Server, template: str) -> Iterator[None]:
    """A role that may log in for each role, and one that is a member of none."""
    names = ["nobody", *ROLES]
    with Database(server, "postgres").connect() as session:
        for name in names:
            session.execute(f"CREATE ROLE may_{name} LOGIN".encode())
            if name in ROLES:
                session.execute(f"GRANT jobmon_{name} TO may_{name}".encode())
        yield
        session.execute(f"DROP ROLE {', '.join(f'may_{name}' for name in names)}".encode())


def test_the_matrix_has_each_command() -> None:
    assert set(MAY) == {PLUGIN, *commands()}


@pytest.mark.usefixtures("members")
@pytest.mark.parametrize("command", MAY, ids=" ".join)
def test_each_role_may_what_it_is_for_and_is_told_whom_to_ask_otherwise(
    database: Database, session: psycopg.Connection, tmp_path: Path, command: tuple[str, ...]
) -> None:
    allowed, ask_for = MAY[command]
    (tmp_path / "jobs.yml").write_text("jobs:\n  own: {warn: 1d, error: 2d}\n")
    for role in ("nobody", *ROLES, "owner"):
        user = "postgres" if role == "owner" else f"may_{role}"
        session.execute("TRUNCATE jobmon.job_log, jobmon.job_check_log, jobmon.job_check_config CASCADE")
        a_run(session, "failing", ("load", "CRITICAL", "boom"), end="fail_job(%s)")
        # of the caller's own role, as far as it may log; an administrator may cancel the runs of others
        runs_it = {"log": user, "admin": "may_log", "owner": user}.get(role, "postgres")
        with database.connect(user=runs_it) as runner:
            job = a_run(runner, "own", ("load", "OK", "done"), end="")
            done = _run(database, command, user, job, tmp_path)
        what = (role, command, done)
        if role == "owner" or role in allowed:
            # the plugin's status is the jobs', and that of diff says that there are differences
            expected: dict[tuple[str, ...], tuple[int, ...]] = {PLUGIN: (0, 1, 2), ("config", "diff"): (1,)}
            assert done.status in expected.get(command, (0,)), what
            assert done.stderr == "" or command == ("config", "apply"), what
            continue
        said = done.stdout if command == PLUGIN else done.stderr
        assert said.count("\n") == (2 if command == ("run",) else 1), what
        if ask_for:
            assert f'role "{user}"' in said or "permission denied" in said, what
            assert f"GRANT jobmon_{ask_for} TO that role" in said, what
        else:
            assert 'schema "jobmon" belongs to role "postgres": connect as that role (-U)' in said, what
        refused: dict[tuple[str, ...], int] = {PLUGIN: 3, ("config", "diff"): 2, ("run",): 0}
        assert done.status == refused.get(command, 1), what
        assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 1, what


def _run(database: Database, command: tuple[str, ...], user: str, job: int, folder: Path) -> Output:
    if command == PLUGIN:
        return database.check("-U", user)
    first, *rest = command
    arguments = ARGUMENTS.get(command, [])
    if command == ("cancel",):
        arguments = ["-y", str(job)]
    elif command == ("run",):
        arguments = ["--spool", str(folder / f"spool-{user}"), "own", "--", "true"]
    elif first == "config":
        file = folder / "jobs.yml" if rest != ["export"] else folder / f"{user}.yml"
        rest, arguments = [], [*rest, str(file)]
    if first == "config":
        action, file_name = arguments
        where = [] if action == "check" else [*database.options[:-2], "-U", user]
        return run_module("check_jobmon.ctl", "config", action, *where, file_name)
    return database.ctl(first, "-U", user, *arguments)
