"""Fixtures: one PostgreSQL server for all tests, one database for each."""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo import server as demo_server
from check_jobmon.demo.server import Server, wheel_binaries
from check_jobmon.plugin import deadline
from tests.database import Database, bootstrap
from tests.strangers import gains

# Tests that call the plugin's main() check in a fork of pytest, whose own memory would count too.
deadline.MEMORY = 2**31
HERE = Path(__file__).parent
# Programs are started two thousand times, and to compile all modules each time takes as long as to run them. Where no bytecode
# is to be written beside the sources, it is written elsewhere.
if sys.dont_write_bytecode and os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(HERE.parent / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
# A database is a copy of 300 files: in memory that takes a fifth of the CPU, and no time of a busy disk. Docker's /dev/shm is too
# small, and runs no programs, which a server of root's may have in its folder.
MEMORY = "/dev/shm"
if os.path.ismount(MEMORY) and os.access(MEMORY, os.W_OK):
    _memory = os.statvfs(MEMORY)
    if _memory.f_bavail * _memory.f_frsize >= 2**32 and not _memory.f_flag & os.ST_NOEXEC:
        demo_server.FOLDERS = MEMORY
_numbers = itertools.count(1)
EXHAUSTIVE = (
    "system",
    "connection/test_look_alikes.py::test_no_command_runs_a_look_alike",
    "connection/test_traps.py::test_the_owners_traps_gain_him_nothing",
    "ctl/test_as_without.py",
    "ctl/test_commands.py::test_all_commands_are_there_without_rich",
    "ctl/test_commands.py::test_names_and_messages_do_nothing_to_the_terminal",
    "ctl/test_streams.py::test_closed_streams_change_no_exit_status",
    "ctl/test_table.py::test_no_row_is_wider_than_the_terminal_and_names_are_whole",
    "ctl/test_table.py::test_wide_on_a_terminal_is_what_a_pipe_has",
    "ctl/test_time_limit.py::test_a_locked_table_is_given_up",
    "ctl/test_time_limit.py::test_a_silent_server_is_given_up",
    "ctl/test_suggest.py::test_by_a_suggested_schedule_hardly_any_run_would_have_been_late",
    "ctl/test_time_zone.py::test_every_command_names_one_zone_once",
    "ctl/test_time_zone.py::test_the_plugin_names_one_zone_once",
    "ctl/test_who_may_what.py::test_each_role_may_what_it_is_for_and_is_told_whom_to_ask_otherwise",
    "judging/test_letter_case.py",
    "judging/test_pg_jobmon.py",
    "judging/test_selection.py::test_any_name_is_selected_as_it_is_written",
    "plugin/faults",
    "plugin/output/test_hostile_arguments.py",
    "plugin/output/test_hostile_names.py",
    "schema/test_compare.py::test_what_differs_is_refused_by_name_before_it_can_run",
    "schema/test_durability.py::test_200_sessions_log_at_once_and_nothing_is_lost_or_doubled",
    "schema/test_locks.py::test_no_lock_on_any_table_makes_any_call_wait_for_ever",
    "schema/test_next_run.py::test_20000_schedules_are_due_when_cronsim_says",
    "schema/test_own_backend.py::test_all_readers_know_the_runs_own_backend",
    "schema/test_settings.py::test_whatever_a_database_has_set_the_answers_are_the_same",
    "schema/test_silence.py::test_a_pattern_silences_the_jobs_that_the_plugins_j_selects",
    "schema/test_upgrade.py::test_columns_of_a_sites_own_with_the_names_of_new_ones_are_reported_and_kept",
)
"""The folders, files and tests that pytest leaves out unless it is called with -m: they drive real daemons, break the plugin's
network, server or process, or go through every command, option, signal, setting or lock. They take two thirds of the time."""
SLOW = (
    "connection",
    "ctl/test_commands.py",
    "ctl/test_config.py",
    "ctl/test_config_calendar.py",
    "ctl/test_run.py",
    "ctl/test_standby.py",
    "ctl/test_services.py",
    "ctl/test_streams.py",
    "ctl/test_suggest.py",
    "ctl/test_targets.py",
    "ctl/test_time_zone.py",
    "ctl/test_time_limit.py",
    "ctl/test_watch.py",
    "ctl/test_who_may_what.py",
    "demo",
    "plugin/output/test_limits.py",
    "plugin/targets",
    "plugin/test_imports.py",
    "recording/test_python_job.py",
    "recording/test_sessions.py",
    "schema/test_attacks.py",
    "schema/test_bootstrap.py",
    "schema/test_compare.py",
    "schema/test_dump.py",
    "schema/test_durability.py",
    "schema/test_hardened.py",
    "schema/test_lagging_sequence.py",
    "schema/test_link_way.py",
    "schema/test_locks.py",
    "schema/test_managed.py",
    "schema/test_ordinary_owner.py",
    "schema/test_ownership.py",
    "schema/test_roles.py",
    "schema/test_settings.py",
    "schema/test_uninstall.py",
    "schema/test_upgrade.py",
    "test_tutorial.py",
)
"""The folders and files whose tests are left out of the daily round as well, because they wait for deadlines, start servers or
daemons, or bootstrap again and again."""


@pytest.fixture(scope="session", autouse=True)
def _no_other_user_gains_anything() -> Iterator[None]:
    """Any test fails that starts a server from which another user of this machine gains something."""
    start = Server.start

    def guarded(server: Server) -> None:
        start(server)
        assert gains(server.folder) == []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "start", guarded)
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The wheel's PostgreSQL, or the one whose programs are in the folder JOBMON_TEST_POSTGRES.

    It listens on TCP too, because the daemons, PgBouncer and the proxy need that: another server would take seconds.
    """
    programs = os.environ.get("JOBMON_TEST_POSTGRES")
    server = Server(
        Path(programs) if programs else wheel_binaries(),
        # Nothing here tests the disk: a crash of the machine may lose all, a crash of the server loses nothing.
        {"fsync": "off", "max_connections": "300", "shared_buffers": "64MB", "max_wal_size": "128MB"},
        tcp=True,
    )
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """The name of a bootstrapped database that nobody is connected to."""
    with Database(server, "postgres").connect() as session:
        session.execute("CREATE DATABASE jobmon_template")
    with Database(server, "jobmon_template").connect() as session:
        bootstrap(session, "jobmon")
    return "jobmon_template"


def _new_database(server: Server, template: str) -> Iterator[Database]:
    name = f"test_{next(_numbers)}"
    with Database(server, "postgres").connect() as session:
        # copies files; the newer way writes all of it to the WAL as well
        way = "STRATEGY file_copy" if session.info.server_version >= 150000 else ""
        session.execute(f"CREATE DATABASE {name} TEMPLATE {template} {way}".encode())
        yield Database(server, name)
        session.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def database(server: Server, template: str) -> Iterator[Database]:
    """A database with the schema, for one test."""
    yield from _new_database(server, template)


@pytest.fixture
def empty_database(server: Server) -> Iterator[Database]:
    """A database without the schema, for one test."""
    yield from _new_database(server, "template0")


@pytest.fixture
def session(database: Database) -> Iterator[psycopg.Connection]:
    """A superuser's session in the test's database, in autocommit mode."""
    with database.connect() as session:
        yield session


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is exhaustive or slow, before -m selects."""
    assert [name for name in (*SLOW, *EXHAUSTIVE) if not (HERE / name.partition("::")[0]).exists()] == []
    for item in items:
        path = item.path.relative_to(HERE) if item.path.is_relative_to(HERE) else item.path
        test = f"{path}::{getattr(item, 'originalname', item.name)}"
        names = {test, *map(str, (path, *path.parents))}
        many_examples = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if not names.isdisjoint(EXHAUSTIVE):
            item.add_marker(pytest.mark.exhaustive)
        if many_examples or not names.isdisjoint((*SLOW, *EXHAUSTIVE)):
            item.add_marker(pytest.mark.slow)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With JOBMON_NO_SKIPS set, as CI does, a skipped test is a failure: CI installs whatever the tests need."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    # a machine whose root may not mount can't do that for CI either
    skipped = [
        report
        for report in reporter.stats.get("skipped", [])
        if "root can't mount anything here" not in str(report.longrepr)
    ]
    if skipped and os.environ.get("JOBMON_NO_SKIPS") and exitstatus == pytest.ExitCode.OK:
        for report in skipped:
            reporter.write_line(f"SKIPPED, which CI does not allow: {report.nodeid}: {report.longrepr}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
