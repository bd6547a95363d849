"""Who may do what: each role that bootstrap makes, with each command, and which role a refused command says to ask for."""

import contextlib
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
    ("report",): (READERS, "monitor"),
    ("cancel",): (("log", "admin"), "admin"),
    ("ack",): (("admin",), "admin"),
    ("clear",): (("admin",), "admin"),
    ("silence",): (("admin",), "admin"),
    ("silences",): (READERS, "monitor"),
    ("unsilence",): (("admin",), "admin"),
    ("config", "apply"): (("admin",), "admin"),
    ("config", "diff"): (READERS, "monitor"),
    ("config", "export"): (READERS, "monitor"),
    ("config", "services"): (READERS, "monitor"),
    ("config", "suggest"): (READERS, "monitor"),
    ("config", "check"): (("nobody", *ROLES), ""),
    ("run",): (("log", "admin"), "log"),
    ("bootstrap",): ((), ""),
    ("bridge",): ((), ""),
    ("migrate",): ((), ""),
    ("partition",): ((), ""),
    ("uninstall",): ((), ""),
}
"""For each command, the roles that may, and the one that the others are told to ask for: none if it is the owner's alone."""
ARGUMENTS: dict[tuple[str, ...], list[str]] = {
    ("like",): ["own"],
    ("history",): ["own"],
    ("detail",): ["own"],
    ("report",): ["-o", "-"],
    ("ack",): ["-y", "failing"],
    ("clear",): ["-y", "90 days"],
    ("silence",): ["own", "2h", "-m", "why"],
    ("unsilence",): ["own"],
    ("partition",): ["--every", "month"],
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


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """Of sessions that stay open until the test's end."""
    with contextlib.ExitStack() as stack:
        yield stack


def test_the_matrix_has_each_command() -> None:
    assert set(MAY) == {PLUGIN, *commands()}


@pytest.mark.usefixtures("members")
@pytest.mark.parametrize("command", MAY, ids=" ".join)
def test_each_role_may_what_it_is_for_and_is_told_whom_to_ask_otherwise(
    database: Database,
    session: psycopg.Connection,
    tmp_path: Path,
    command: tuple[str, ...],
    stack: contextlib.ExitStack,
) -> None:
    """All that may, the owner, and two of those that are refused, for each command others in a fixed rotation.

    That they all are refused, test_nobody_has_more_rights_than_meant in tests/schema/test_attacks.py shows: here, what is said.
    What is refused is arranged once for all roles, and anew after a command that may change it.
    """
    allowed, ask_for = MAY[command]
    refused_roles = [role for role in ("nobody", *ROLES) if role not in allowed]
    turn = [*MAY].index(command)
    left_out = {role for number, role in enumerate(refused_roles) if (number - turn) % len(refused_roles) > 1}
    (tmp_path / "jobs.yml").write_text("jobs:\n  own: {warn: 1d, error: 2d}\n")
    under_way: dict[str, int] = {}
    for role in ("nobody", *ROLES, "owner"):
        if role in left_out:
            continue
        user = "postgres" if role == "owner" else f"may_{role}"
        if not under_way:
            session.execute("TRUNCATE jobmon.job_log, jobmon.job_check_log, jobmon.job_check_config CASCADE")
            a_run(session, "failing", ("load", "CRITICAL", "boom"), end="fail_job(%s)")
            session.execute("SELECT jobmon.silence('own', now() + interval '1 hour', 'why')")
        # of the caller's own role, as far as it may log; an administrator may cancel the runs of others
        runs_it = {"log": user, "admin": "may_log", "owner": user}.get(role, "postgres")
        if runs_it not in under_way:
            runner = stack.enter_context(database.connect(user=runs_it))
            under_way[runs_it] = a_run(runner, "own", ("load", "OK", "done"), end="")
        done = run_command(database, command, user, under_way[runs_it], tmp_path)
        what = (role, command, done)
        if role == "owner" or role in allowed:
            if "read" not in allowed:  # who reads can change nothing
                under_way = {}
            # the plugin's status is the jobs', and that of diff says that there are differences
            expected: dict[tuple[str, ...], tuple[int, ...]] = {
                PLUGIN: (0, 1, 2),
                ("config", "diff"): (1,),
                ("migrate",): (1,),
            }
            assert done.status in expected.get(command, (0,)), what
            assert done.stderr == "" or command in (("config", "apply"), ("migrate",)), what
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


def run_command(database: Database, command: tuple[str, ...], user: str, job: int, folder: Path) -> Output:
    """What the plugin or a command says to that role."""
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
    if command in (("config", "services"), ("config", "suggest")):
        format = ["--nagios"] if command == ("config", "services") else []
        return run_module("check_jobmon.ctl", *command, *format, *database.options[:-2], "-U", user)
    if first == "config":
        action, file_name = arguments
        where = [] if action == "check" else [*database.options[:-2], "-U", user]
        return run_module("check_jobmon.ctl", "config", action, *where, file_name)
    return database.ctl(first, "-U", user, *arguments)


@pytest.fixture
def authors(session: psycopg.Connection) -> Iterator[None]:
    """Two that log, and the group of one of them; "o'brien" has what has to be quoted in its name."""
    session.execute(
        """
        CREATE ROLE "o'brien" LOGIN IN ROLE jobmon_log;
        CREATE ROLE etl_group;
        CREATE ROLE other_author LOGIN IN ROLE jobmon_log, etl_group;
        GRANT jobmon_log TO etl_group
        """
    )
    yield
    session.execute("""DROP ROLE "o'brien", other_author, etl_group""")


@pytest.mark.usefixtures("authors")
def test_an_author_sees_what_failed_of_the_own_runs_and_nothing_of_others(database: Database) -> None:
    with database.connect(user="o'brien") as one, database.connect(user="other_author") as two:
        mine = a_run(one, "mine", ("load", "CRITICAL", "my secret"), end="fail_job(%s)")
        a_run(two, "theirs", ("load", "CRITICAL", "their secret"), end="fail_job(%s)")
        two.execute("SET ROLE etl_group")
        group = a_run(two, "group's", ("load", "OK", "shared"))
        two.execute("RESET ROLE")
        assert one.execute("SELECT job_name FROM jobmon.own_runs").fetchall() == [("MINE",)]
        assert one.execute("SELECT message FROM jobmon.own_steps").fetchall() == [("my secret",)]
        assert {row[0] for row in two.execute("SELECT job_name FROM jobmon.own_runs")} == {"THEIRS", "GROUP'S"}
        # a function of the reader's own, as cheap as can be, is not called with the rows of others
        one.execute(
            "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001"
            " AS $$BEGIN RAISE NOTICE '%', $1; RETURN true; END$$"
        )
        leaked: list[str | None] = []
        one.add_notice_handler(lambda notice: leaked.append(notice.message_primary))
        one.execute("SELECT FROM jobmon.own_steps WHERE pg_temp.leak(message)")
        one.execute("SELECT FROM jobmon.own_runs WHERE pg_temp.leak(job_name)")
        assert leaked == ["my secret", "MINE"]
        for change in ("DELETE FROM jobmon.own_runs", "UPDATE jobmon.own_steps SET message = ''"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                one.execute(change.encode())
    me = ["-U", "o'brien"]
    for command in (["show"], ["failed"], ["like", "i"], ["detail", "mine"], ["history", "mine"]):
        said = database.ctl(command[0], *me, *command[1:])
        assert (said.status, said.stderr) == (0, ""), said
        assert "MINE" in said.stdout
        assert "THEIRS" not in said.stdout
        assert "their secret" not in said.stdout
    assert "my secret" in database.ctl("detail", *me, str(mine)).stdout
    for command in (["detail", str(group)], ["show", "theirs"], ["history", "theirs"], ["detail", "theirs"]):
        said = database.ctl(command[0], *me, *command[1:])
        assert (said.status, said.stdout, said.stderr.count("\n")) == (1, "", 1), said
        assert """as far as role "o'brien" may see""" in said.stderr
    assert database.ctl("running", *me).stdout == 'no job is running, as far as role "o\'brien" may see\n'


@pytest.mark.usefixtures("members")
def test_who_reads_without_pg_monitor_is_shown_what_it_cannot_know_as_unknown(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 ms', '1 day', true, 0, '-infinity')")
    a_run(session, "etl")
    a_run(session, "etl", end="")
    reader = database.check("-U", "may_read")
    assert "ETL missing, or running for" in reader.first_line
    assert "which a standby or a role outside pg_monitor can't tell" in reader.first_line
    assert "still running after" in database.check("-U", "may_monitor").first_line
    assert ",open," in database.ctl("running", "-U", "may_read").stdout.replace("  ", ",").replace(" ", "")
    assert '"state": "open"' in database.ctl("running", "--json", "-U", "may_read").stdout
    session.close()
    with database.connect() as again:
        again.execute("SELECT pg_sleep(0.1)")
        assert '"state": "crashed"' in database.ctl("show", "-n1", "--json", "-U", "may_read").stdout


@pytest.mark.usefixtures("members")
def test_an_administrator_gains_nobodys_rights(database: Database, session: psycopg.Connection) -> None:
    session.execute("SELECT jobmon.fail_job(jobmon.add_job('etl'))")
    with database.connect() as runner, database.connect(user="may_admin") as admin:
        job = a_run(runner, "etl", end="")
        for denied in (
            "CREATE TABLE jobmon.mine ()",
            "CREATE TRIGGER t AFTER INSERT ON jobmon.job_check_config EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "ALTER TABLE jobmon.job_check_config ADD CHECK (true)",
            "CREATE RULE r AS ON INSERT TO jobmon.job_check_config DO ALSO SELECT 1",
            "UPDATE jobmon.job_status_text SET alert_text = 'X'",
            "INSERT INTO jobmon.job_check_log VALUES (1, 'X', 3)",
            "DELETE FROM jobmon.job_log",
            "UPDATE jobmon.job_detail SET message = ''",
            "TABLE jobmon.link",
            "TRUNCATE jobmon.job_check_config",
            "DELETE FROM jobmon.job_silence",
            "TRUNCATE jobmon.job_silence",
            "UPDATE jobmon.job_silence SET reason = ''",
            "INSERT INTO jobmon.job_silence (pattern, ends, reason, created_by) VALUES ('X', now() + '1 h', 'x', 'postgres')",
            "SELECT jobmon.name_regex('[a]')",
            "SELECT jobmon.link_call('ping', '{}')",
            "SELECT pg_cancel_backend(%s)" % runner.info.backend_pid,  # noqa: UP031
            f"SELECT jobmon.cancel_job_as_owner({job})",  # a superuser's
            f"SELECT jobmon.cancel_job({job})",
            f"SELECT jobmon.fail_job({job})",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute(denied.encode())
        # what it may call uses none of its look-alikes
        admin.execute(
            """
            CREATE TEMPORARY TABLE job_log (LIKE jobmon.job_log);
            CREATE TEMPORARY TABLE job_detail (LIKE jobmon.job_detail);
            CREATE FUNCTION pg_temp.cancel_job_backend(bigint) RETURNS integer LANGUAGE sql AS 'SELECT pg_backend_pid()';
            SET search_path = pg_temp, pg_catalog
            """
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            admin.execute(f"SELECT jobmon.cancel_job_as_owner({job})".encode())
        assert value(admin, "SELECT jobmon.ack_crash(%s)", job) is False
