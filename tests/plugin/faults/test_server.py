"""A server that answers, but not with the result: locks, time limits, refusals, and its comings and goings."""

import contextlib
import re
from collections.abc import Callable, Iterator

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, until, value
from tests.plugin.faults.conftest import OwnServer
from tests.plugin.faults.plugin import MARGIN, WAITING, Running, alert, at_once, gone, locked
from tests.plugin.faults.proxy import Proxy
from tests.servers import create


@pytest.mark.parametrize("table", ["job_log", "job_detail", "job_check_config", "job_status_text", "job_check_log"])
def test_locked_table_names_who_locks_it(database: Database, session: psycopg.Connection, table: str) -> None:
    with locked(database, table) as holder:
        output = alert(*database.options)
        pid = holder.info.backend_pid
        assert re.fullmatch(
            rf'JOBMON CRITICAL - a table of schema "jobmon" in database "{database.name}" is locked \({table} by pid {pid},'
            r" postgres, reorganizer, in a transaction since \d{4}-\S+ \S+ \S+\): "
            rf"wait for its end, or end it with SELECT pg_terminate_backend\({pid}\)\n",
            output.stdout,
        )
        assert output.status == 2
        gone(session)


def test_two_locks_one_after_the_other_end_by_one_deadline(database: Database, session: psycopg.Connection) -> None:
    with contextlib.ExitStack() as running, locked(database, "job_log"):
        with locked(database, "job_status_text"):
            plugin = running.enter_context(Running(*database.options, timeout=6))
            until(lambda: value(session, f"{WAITING} AND now() - query_start > interval '2 seconds'"))
        output = plugin.output()
        gone(session)
    assert " is locked (job_log by pid " in output.first_line
    assert (output.status, output.stderr) == (2, "")


def test_lock_that_somebody_waits_for(database: Database, session: psycopg.Connection) -> None:
    """A long SELECT alone blocks nobody; with ALTER TABLE behind it everybody."""
    with database.connect(application_name="report") as reader, reader.transaction():
        reader.execute("SELECT FROM jobmon.job_log")
        with database.connect(application_name="migration") as writer:
            pid = writer.info.backend_pid
            writer.pgconn.send_query(b"ALTER TABLE jobmon.job_log ADD extra text")
            until(lambda: value(session, "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted", pid))
            output = alert(*database.options)
            assert re.search(
                rf"is locked \(job_log: pid {pid}, postgres, migration, in a transaction since .*, waits to lock it, "
                r"and all others behind\): see what that one waits for, or end it\n",
                output.stdout,
            )
            assert output.status == 2
            gone(session)
            session.execute("SELECT pg_cancel_backend(%s)", [pid])
            while writer.pgconn.get_result():
                pass


def test_lock_of_a_prepared_transaction(new_server: Callable[..., OwnServer]) -> None:
    server = new_server(max_prepared_transactions="2")
    server.start()
    database = Database(server, "postgres")
    with database.connect() as session:
        session.execute("CREATE SCHEMA jobmon")
        for table, columns in OLD_TABLES.items():
            session.execute(f"CREATE TABLE jobmon.{table} ({columns})".encode())
        session.execute("BEGIN; LOCK TABLE jobmon.job_log; PREPARE TRANSACTION 'forgotten'")
        output = alert(*database.options)
        gone(session)
    assert output.stdout.endswith(
        " is locked (job_log by a prepared transaction): see pg_prepared_xacts, and commit it or roll it back\n"
    )
    assert output.status == 2


OLD_TABLES = {
    "job_log": "job_id bigint PRIMARY KEY, job_name text, start_time timestamptz, end_time timestamptz, status text, pid int",
    "job_detail": "job_id bigint, step_id bigint, action text, elapsed_time real, status text, message text",
    "job_check_config": "job_name text, warn_threshold interval, error_threshold interval, active bool, sensitivity int",
    "job_check_log": "job_id bigint, job_name text, alert_code int",
    "job_status_text": "alert_code int, alert_text text",
}
"""A job log without the functions, for servers that have no dblink."""
LIMIT = "100ms"
PAST = "now() - greatest(query_start, state_change) > interval '300ms'"


@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout", "transaction_timeout"])
def test_time_limits_of_the_role_don_t_hinder_the_check(
    database: Database, session: psycopg.Connection, role: str, version: int, missing: str, setting: str
) -> None:
    if setting == "transaction_timeout" and version < 17:
        pytest.skip("transaction_timeout is new in PostgreSQL 17")
    session.execute(f"ALTER ROLE {role} SET {setting} = '{LIMIT}'".encode())
    with contextlib.ExitStack() as running:
        with locked(database, "job_log"):
            plugin = running.enter_context(Running(*database.options, "-U", role, timeout=30))
            until(lambda: value(session, f"{WAITING} AND {PAST}"))
        output = plugin.output()
    assert (output.first_line, output.status, output.stderr) == (missing, 2, "")


def test_limit_on_idle_transactions_of_the_role_doesn_t_hinder_the_check(
    database: Database, session: psycopg.Connection, missing: str
) -> None:
    session.execute(f"ALTER DATABASE {database.name} SET idle_in_transaction_session_timeout = '{LIMIT}'".encode())
    with (
        Proxy(database, question=b"WITH RECURSIVE status_text AS") as proxy,
        Running(*proxy.options, timeout=30) as plugin,
    ):
        assert proxy.held.wait(MARGIN)
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND application_name = "
        until(lambda: value(session, f"{idle} 'check_jobmon' AND {PAST}"))
        proxy.release.set()
        output = plugin.output()
    assert (output.first_line, output.status, output.stderr) == (missing, 2, "")


def test_limit_on_idle_sessions_of_the_role_is_named(
    database: Database, session: psycopg.Connection, version: int
) -> None:
    if version < 14:
        pytest.skip("idle_session_timeout is new in PostgreSQL 14")
    session.execute(f"ALTER DATABASE {database.name} SET idle_session_timeout = '{LIMIT}'".encode())
    with Proxy(database, question=b"BEGIN ISOLATION") as proxy, Running(*proxy.options, timeout=30) as plugin:
        assert proxy.held.wait(MARGIN)
        gone(session)
        proxy.release.set()
        output = plugin.output()
    assert output.first_line.startswith(
        f'JOBMON CRITICAL - database "{database.name}" broke off the check: '
        "terminating connection due to idle-session timeout"
    )
    assert output.stdout.endswith(": ALTER ROLE the check's role SET idle_session_timeout = 0\n")
    assert (output.status, output.stdout.count("\n"), output.stderr) == (2, 1, "")


def test_server_bounds_an_idle_transaction_whose_client_is_cut_off(
    database: Database, session: psycopg.Connection
) -> None:
    with Proxy(database, question=b"WITH RECURSIVE status_text AS") as proxy:
        assert alert(*proxy.options).status == 2
        # the plugin is gone, and the proxy still holds the connection to the server
        gone(session)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (
            "pg_cancel_backend",
            "canceling statement due to user request: somebody cancelled it: see the server's log",
        ),
        (
            "pg_terminate_backend",
            "terminating connection due to administrator command.*: see in the server's log who or what ended it",
        ),
    ],
)
def test_check_that_somebody_ends(database: Database, session: psycopg.Connection, function: str, text: str) -> None:
    with locked(database, "job_log"), Running(*database.options, timeout=30) as plugin:
        until(lambda: value(session, WAITING))
        session.execute(
            f"SELECT {function}(pid) FROM pg_stat_activity WHERE application_name = 'check_jobmon'".encode()
        )
        output = plugin.output()
        gone(session)
    assert re.fullmatch(rf'JOBMON CRITICAL - database "{database.name}" broke off the check: {text}\n', output.stdout)
    assert (output.status, output.stderr) == (2, "")


def test_server_that_crashes_during_the_check(new_server: Callable[..., OwnServer]) -> None:
    server = new_server(tcp=True)
    server.start()
    database = Database(server, "postgres")
    with Proxy(database, question=b"BEGIN ISOLATION") as proxy, Running(*proxy.options, timeout=30) as plugin:
        assert proxy.held.wait(MARGIN)
        server.stop("immediate")
        proxy.release.set()
        output = plugin.output()
    assert re.fullmatch(
        r'JOBMON CRITICAL - database "postgres" broke off the check: .*: see in the server\'s log \S.*\n', output.stdout
    )
    assert (output.status, output.stderr) == (2, "")


def test_server_that_is_starting_up(new_server: Callable[..., OwnServer]) -> None:
    """Recovery begins with asking the archive for a newer timeline, and this archive takes its time."""
    server = new_server(restore_command="sleep 60")
    (server.data / "recovery.signal").touch()
    server.waits = False
    server.start()
    options = Database(server, "postgres").options
    until(lambda: "starting up" in at_once(*options).stdout)
    output = alert(*options)
    assert output.stdout.endswith("FATAL: the database system is starting up: wait, or look into the server's log\n")
    assert (output.status, output.stdout.count("\n")) == (2, 1)


def test_server_that_is_shutting_down(new_server: Callable[..., OwnServer]) -> None:
    server = new_server()
    server.start()
    database = Database(server, "postgres")
    with database.connect():
        server.waits = False
        server.stop("smart")
        until(lambda: "shutting down" in at_once(*database.options).stdout)
        output = alert(*database.options)
        server.waits = True
        server.stop("immediate")
    assert output.stdout.endswith("FATAL: the database system is shutting down: see why it stops in the server's log\n")
    assert (output.status, output.stdout.count("\n")) == (2, 1)


FULL = "raise the limit, or see who holds the connections in pg_stat_activity"


def test_server_that_is_out_of_connections(new_server: Callable[..., OwnServer]) -> None:
    server = new_server(max_connections="4", superuser_reserved_connections="1", max_wal_senders="0")
    server.start()
    database = Database(server, "postgres")
    with database.connect() as session:
        session.execute("CREATE ROLE watchman LOGIN; CREATE ROLE others LOGIN")
        others = [database.connect(user="others") for _ in range(2)]
        others.append(database.connect())
        output = alert(*database.options, "-U", "watchman")
        assert re.search(r"FATAL: (sorry, too many clients already|remaining connection slots .*): ", output.stdout)
        assert output.stdout.endswith(f": {FULL}\n")
        assert (output.status, output.stdout.count("\n")) == (2, 1)
        others.pop().close()
        others.pop().close()
        session.execute("ALTER ROLE watchman CONNECTION LIMIT 0")
        until(
            lambda: value(session, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") == 2
        )
        output = alert(*database.options, "-U", "watchman")
        assert output.stdout.endswith(f'FATAL: too many connections for role "watchman": {FULL}\n')
        assert output.status == 2
        for other in others:
            other.close()


@pytest.fixture(scope="module")
def guarded(server: Server) -> Iterator[Database]:
    """A database whose role watchman needs a password, over TCP."""
    own = Server(server.binaries, {"fsync": "off", "shared_buffers": "16MB"}, tcp=True)
    try:
        create(own)
        (own.data / "pg_hba.conf").write_text(
            "local all all trust\nhost all watchman 127.0.0.1/32 scram-sha-256\nhostssl all others 127.0.0.1/32 scram-sha-256\n"
        )
        own.start()
        database = Database(own, "postgres")
        with database.connect() as session:
            session.execute("CREATE ROLE watchman LOGIN PASSWORD 'right'; CREATE ROLE others LOGIN")
        yield database
    finally:
        own.remove()


def test_wrong_or_missing_password(guarded: Database) -> None:
    way_out = "put the password into ~/.pgpass (mode 600) of the user that runs the check\n"
    output = alert(*guarded.tcp_options, "-U", "watchman", PGPASSWORD="wrong")
    assert 'FATAL: password authentication failed for user "watchman": ' in output.stdout
    assert output.stdout.endswith(way_out)
    assert (output.status, output.stdout.count("\n")) == (2, 1)
    output = alert(*guarded.tcp_options, "-U", "watchman", PGPASSFILE=f"{guarded.server.folder}/none")
    assert "no password supplied" in output.stdout
    assert output.stdout.endswith(way_out)
    assert (output.status, output.stdout.count("\n")) == (2, 1)
    # the right one gets in, to find no job log
    assert alert(*guarded.tcp_options, "-U", "watchman", PGPASSWORD="right").stdout.startswith(
        "JOBMON UNKNOWN - no jobmon schema"
    )


def test_role_that_the_server_expects_elsewhere(guarded: Database) -> None:
    output = alert(*guarded.tcp_options, "-U", "others")
    assert re.search(r'FATAL: no pg_hba.conf entry for host "127.0.0.1", user "others"', output.stdout)
    assert output.stdout.endswith(
        ": add a line to the server's pg_hba.conf, or, where it has one for encrypted connections only, set sslmode "
        "(PGSSLMODE)\n"
    )
    assert output.status == 2


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_tls_required_and_not_offered(database: Database, mode: str) -> None:
    output = alert(*database.tcp_options, PGSSLMODE=mode, PGSSLROOTCERT="system" if mode == "verify-full" else "")
    assert "server does not support SSL, but SSL was required" in output.stdout
    assert output.stdout.endswith(": set up TLS on the server, or relax sslmode (PGSSLMODE)\n")
    assert (output.status, output.stdout.count("\n")) == (2, 1)


def test_tls_without_the_authority_s_certificate(database: Database) -> None:
    output = alert(*database.tcp_options, PGSSLMODE="verify-ca", PGSSLROOTCERT="/nonexistent/root.crt")
    assert output.stdout.startswith("JOBMON CRITICAL - ")
    assert (output.status, output.stdout.count("\n")) == (2, 1)


def test_role_that_may_not_connect(database: Database, session: psycopg.Connection, role: str) -> None:
    session.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC".encode())
    output = alert(*database.options, "-U", role)
    assert output.stdout.endswith(": GRANT what it lacks, or name another role with -U\n")
    assert f'FATAL: permission denied for database "{database.name}"' in output.stdout
    assert (output.status, output.stdout.count("\n")) == (2, 1)
