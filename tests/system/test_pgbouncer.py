"""PgBouncer in transaction mode, with one connection, between the plugin and the server."""

import concurrent.futures
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.database import Database, Output, run_module, value
from tests.strangers import ways_in
from tests.system.conftest import FourStates
from tests.system.daemons import Place, free_port, program


@dataclass(frozen=True)
class Pool:
    """A PgBouncer before the test server."""

    port: int
    passfile: Path

    def check(self, database: Database, *arguments: str, **environment: str) -> Output:
        """Run the plugin on a database, through the pool."""
        where = ["-H", "127.0.0.1", "-p", str(self.port), "-d", database.name, "-U", "postgres"]
        return run_module("check_jobmon", *where, *arguments, PGPASSFILE=str(self.passfile), **environment)

    def ctl(self, database: Database, command: str, *arguments: str, **environment: str) -> Output:
        """Run a command of jobmonctl on a database, through the pool."""
        where = ["-H", "127.0.0.1", "-p", str(self.port), "-d", database.name, "-U", "postgres"]
        return run_module("check_jobmon.ctl", command, *where, *arguments, PGPASSFILE=str(self.passfile), **environment)

    def connect(self, dbname: str) -> psycopg.Connection:
        """A session through the pool, or of its console."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=dbname,
            user="postgres",
            passfile=str(self.passfile),
            autocommit=True,
            prepare_threshold=None,
        )


@pytest.fixture
def pool(place: Place, four_states: FourStates) -> Iterator[Pool]:
    """A PgBouncer with one connection for each database."""
    pgbouncer = program("pgbouncer", "pgbouncer")
    server = four_states.ok.server
    pool = Pool(free_port(), server.passfile)
    password = server.passfile.read_text().strip().rpartition(":")[2]
    place.write("users.txt", f'"postgres" "{password}"\n')
    configuration = place.write(
        "pgbouncer.ini",
        f"""
[databases]
* = host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {pool.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {place.folder}/users.txt
admin_users = postgres
pool_mode = transaction
default_pool_size = 1
min_pool_size = 0
reserve_pool_size = 0
""",
    )

    def answers() -> bool:
        try:
            with pool.connect("pgbouncer") as console:
                return bool(console.execute("SHOW VERSION").fetchone())
        except psycopg.OperationalError:
            return False

    with place.daemon(pgbouncer, str(configuration)) as daemon:
        daemon.until(answers, "PgBouncer answers")
        assert ways_in(daemon.process.pid) == []
        yield pool


def _judgement(output: Output) -> tuple[int, str]:
    return output.status, output.first_line


VERBOSITIES = (("-v", "-vv"), ("-vv", "-vvv"), ("-vvv", "-v"), ("-v", "-vvv"))
"""For each of the four states."""


def test_the_check_through_a_pool_is_the_same_as_without(pool: Pool, four_states: FourStates) -> None:
    """Each check has the session that another one had, with another verbosity. The first one's has it a second time.

    Each state has two of the three verbosities.
    """
    for state, database in enumerate(four_states):
        direct = {each: database.check(each, "--max-output", "1000000") for each in VERBOSITIES[state]}
        for verbosity in (*direct, VERBOSITIES[state][0]):
            through = pool.check(database, verbosity, "--max-output", "1000000")
            assert _judgement(through) == _judgement(direct[verbosity]), verbosity
            assert through.status == state
            assert through.stderr == ""
            assert len(through.long_output.splitlines()) == len(direct[verbosity].long_output.splitlines())


def test_the_time_zone_is_kept_for_each_client_of_a_pool(pool: Pool, four_states: FourStates) -> None:
    database = four_states.ok
    session = pool.ctl(database, "show").stdout.splitlines()
    for _ in range(2):
        assert "STARTED (UTC)" in pool.ctl(database, "show", "--utc").stdout
        for options, environment in (["--local"], {"TZ": "Asia/Kolkata"}), ([], {"PGTZ": "Asia/Kolkata"}):
            output = pool.ctl(database, "show", *options, **environment)
            assert "STARTED (Asia/Kolkata)" in output.stdout
            assert output.stdout == database.ctl("show", *options, **environment).stdout
            assert "LAST RUN (Asia/Kolkata)" in pool.check(database, "-v", *options, **environment).stdout
    assert pool.ctl(database, "show").stdout.splitlines() == session


def test_many_checks_at_once_take_turns(pool: Pool, four_states: FourStates) -> None:
    databases = [*four_states] * 2
    with concurrent.futures.ThreadPoolExecutor(len(databases)) as threads:
        outputs = list(threads.map(lambda database: pool.check(database, "-vv", "-t", "50"), databases))
    assert [output.status for output in outputs] == [0, 1, 2, 3] * 2
    assert {output.stderr for output in outputs} == {""}


def test_a_check_leaves_nothing_behind_in_the_pooled_session(pool: Pool, four_states: FourStates) -> None:
    """Nor does a command of jobmonctl; each has its settings in every transaction, whoever had the session before."""
    settings = (
        "statement_timeout",
        "lock_timeout",
        "search_path",
        "transaction_read_only",
        "jit",
        "datestyle",
        "row_security",
    )

    def state() -> tuple[object, ...]:
        with pool.connect(four_states.critical.name) as session:
            # first, because it tells whether the session is still the same
            return (value(session, "SELECT pg_backend_pid()"), *(value(session, f"SHOW {name}") for name in settings))

    before = state()
    assert pool.check(four_states.critical, "-vv").status == 2
    for command in ("status", "show", "failed", "running"):
        output = pool.ctl(four_states.critical, command)
        assert (output.status, output.stderr) == (0, "")
    assert state() == before


def test_a_pool_that_gives_no_connection_is_critical_within_the_deadline(pool: Pool, four_states: FourStates) -> None:
    with pool.connect(four_states.ok.name) as busy:
        busy.execute("BEGIN")
        busy.execute("SELECT 1")
        output = pool.check(four_states.ok, "-t", "6")
        assert output.status == 2
        assert output.first_line.startswith("JOBMON CRITICAL - no answer within 6s while waiting for the check query")
        busy.execute("ROLLBACK")
    assert pool.check(four_states.ok).status == 0


def test_a_database_that_the_pool_can_not_reach_is_critical_and_named(pool: Pool, four_states: FourStates) -> None:
    gone = Database(four_states.ok.server, "no_such_database")
    output = pool.check(gone)
    assert output.status == 2
    assert 'database "no_such_database" does not exist' in output.first_line
