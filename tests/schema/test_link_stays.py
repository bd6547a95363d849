"""The link after a job: it stays, the server ends it when it isn't used, and the next call opens another one."""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo.server import Server
from check_jobmon.schema.link import ensure_link_role
from tests.database import Database, bootstrap, pinned, until, value
from tests.schema.conftest import NewServer

LINKS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ '^jobmon link of '"
)
A_JOB = "SELECT jobmon.close_job(jobmon.add_job('etl'))"
SETTINGS = """
    SELECT array_agg(e.entry ORDER BY e.entry)
      FROM pg_db_role_setting AS s
     CROSS JOIN unnest(s.setconfig) AS e(entry)
     WHERE s.setdatabase = 0
       AND s.setrole = (SELECT r.oid FROM pg_roles AS r JOIN jobmon.link AS l ON l.role_name = r.rolname)
       AND e.entry ~ '^(idle_session_timeout|log_min_messages|work_mem)='
"""


def link_of(session: psycopg.Connection, caller: psycopg.Connection) -> int | None:
    """The pid of the caller's link, if it has one."""
    link = "SELECT max(pid) FROM pg_stat_activity WHERE application_name = %s"
    pid: int | None = value(session, link, f"jobmon link of {caller.info.backend_pid}")
    return pid


@pytest.fixture
def ended_by_server(session: psycopg.Connection) -> None:
    """Of tests that are about the server's ending a link, which PostgreSQL 13 can't."""
    if session.info.server_version < 140000:
        pytest.skip("PostgreSQL 13 has no idle_session_timeout")


@pytest.fixture
def quick(database: Database, session: psycopg.Connection, ended_by_server: None) -> Database:
    """A database whose links are ended after a second. Their role is the template's, and has this setting here alone."""
    role = value(session, "SELECT role_name::text FROM jobmon.link")
    session.execute(f"ALTER ROLE {role} IN DATABASE {database.name} SET idle_session_timeout = '1s'".encode())
    return database


def _set(session: psycopg.Connection, setting: str) -> None:
    """As a site would, for the link's role."""
    role = value(session, "SELECT role_name::text FROM jobmon.link")
    session.execute(f"ALTER ROLE {role} SET {setting}".encode())


def fatal(server: Server) -> Callable[[], list[str]]:
    """What the server's log has of FATAL errors from now on."""
    log = Path(server.folder, "log")
    start = log.stat().st_size
    return lambda: re.findall("FATAL: .*", log.read_bytes()[start:].decode())


def test_the_next_job_uses_the_same_link(database: Database, session: psycopg.Connection) -> None:
    stays = session.info.server_version >= 140000
    with database.connect() as caller:
        caller.execute(A_JOB.encode())
        first = link_of(session, caller)
        if stays:
            assert first is not None
        else:
            until(lambda: link_of(session, caller) is None)
        caller.execute(A_JOB.encode())
        assert not stays or link_of(session, caller) == first
    until(lambda: value(session, LINKS) == 0)


@pytest.mark.parametrize("setting", ["off", "false", "OFF"])
def test_with_keep_link_off_the_link_goes_with_its_job(
    database: Database, session: psycopg.Connection, setting: str
) -> None:
    with database.connect() as caller:
        caller.execute(f"SET jobmon.keep_link = {setting}; {A_JOB}".encode())
        until(lambda: value(session, LINKS) == 0)


CALLS = {
    "add_job": "('next')",
    "add_past_run": "(gen_random_uuid(), 'past', now(), now(), 3, 'x', 'y')",
    "add_step": "(%(job)s, 'next')",
    "cancel_job": "(%(other)s)",
    "claim_job": "(%(job)s)",
    "close_job": "(%(job)s)",
    "fail_job": "(%(job)s)",
    "job_log_clear": "('1 year')",
    "lock_job": "(%(job)s)",
    "sql_job": "('next', 'SELECT')",
    "sql_step": "(%(job)s, 'next', 'SELECT')",
    "update_step": "(%(step)s, 'OK', 'done')",
}
SOURCES = """
    SELECT proname::text, string_agg(prosrc, ' '), bool_or(has_function_privilege('jobmon_admin', oid, 'EXECUTE'))
      FROM pg_proc
     WHERE pronamespace = 'jobmon'::regnamespace
     GROUP BY 1
"""
PARTS = {"cancel_job_as_owner", "cancel_job_backend", "cancel_job_note", "sql_run"}
"""Of cancel_job, sql_job and sql_step: they have to be executable by the same roles."""


def callers(session: psycopg.Connection) -> set[str]:
    """The functions that people may call and that send something over the link, by whatever way."""
    rows = session.execute(SOURCES.encode()).fetchall()
    sources = {name: (re.sub(r"--.*|'[^']*'", "", source), public) for name, source, public in rows}
    found: set[str] = set()
    new = {"link_call"}
    while new:
        found |= new
        calls = re.compile(rf"\b({'|'.join(new)})\(")
        new = {name for name, (source, _) in sources.items() if calls.search(source)} - found
    return {name for name in found if sources[name][1]} - PARTS


class Logger(psycopg.Connection):
    """A session with a run, and another session's run to cancel, which keeps what the server has to say."""

    run: dict[str, int]
    said: list[str]


@contextlib.contextmanager
def logger(database: Database, *, autocommit: bool, cancels: bool) -> Iterator[Logger]:
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(Logger.connect(**database.parameters, autocommit=autocommit))
        session.said = []
        session.add_notice_handler(lambda notice: session.said.append(f"{notice.severity}: {notice.message_primary}"))
        job = value(session, "SELECT jobmon.add_job('etl')")
        session.run = {"job": job, "step": value(session, "SELECT jobmon.add_step(%s, 'load')", job)}
        if cancels:
            session.run["other"] = value(stack.enter_context(database.connect()), "SELECT jobmon.add_job('other')")
        yield session


def test_any_call_opens_the_link_anew_once_and_nothing_is_lost_or_doubled(
    quick: Database, session: psycopg.Connection
) -> None:
    assert callers(session) == set(CALLS)
    died = fatal(quick.server)
    with contextlib.ExitStack() as stack:
        # between two transactions, and in the middle of one
        loggers = [
            (name, stack.enter_context(logger(quick, autocommit=autocommit, cancels=name == "cancel_job")))
            for autocommit in (True, False)
            for name in CALLS
        ]
        until(lambda: value(session, LINKS) == 0)
        for name, caller in loggers:
            caller.execute(f"SELECT jobmon.{name}{CALLS[name]}".encode(), caller.run)
            opened = link_of(session, caller)
            caller.execute("SELECT jobmon.add_step(%(job)s, 'after')", caller.run)
            assert opened is not None
            assert link_of(session, caller) == opened
            assert caller.said == []
    assert died() == []
    runs = session.execute("SELECT job_name, count(*) FROM jobmon.job_log GROUP BY 1 ORDER BY 1").fetchall()
    assert runs == [("ETL", 24), ("JOB LOG CLEAR", 2), ("NEXT", 4), ("OTHER", 2), ("PAST", 2)]
    steps = (
        "SELECT action, count(*) FROM jobmon.job_detail WHERE action IN ('load', 'next', 'after') GROUP BY 1 ORDER BY 1"
    )
    assert session.execute(steps.encode()).fetchall() == [("after", 24), ("load", 24), ("next", 4)]


def test_with_keep_link_on_the_server_does_not_end_it(quick: Database, session: psycopg.Connection) -> None:
    with quick.connect() as caller, quick.connect() as other:
        caller.execute(f"SET jobmon.keep_link = on; {A_JOB}".encode())
        kept = link_of(session, caller)
        other.execute(A_JOB.encode())
        until(lambda: link_of(session, other) is None)
        assert link_of(session, caller) == kept is not None
        # nothing would ever end it then
        caller.execute(f"RESET jobmon.keep_link; {A_JOB}".encode())
        until(lambda: link_of(session, caller) is None)


def test_a_pool_that_resets_its_sessions_keeps_the_link_for_the_next_client(
    database: Database, session: psycopg.Connection, ended_by_server: None
) -> None:
    with database.connect() as pooled:
        pooled.execute(A_JOB.encode())
        link = link_of(session, pooled)
        for role in ("jobmon_log", "jobmon_admin"):
            pooled.execute("DISCARD ALL")
            pooled.execute(f"SET ROLE {role}".encode())
            pooled.execute(A_JOB.encode())
            assert link_of(session, pooled) == link is not None
        pooled.execute("RESET ROLE")
    assert value(session, "SELECT array_agg(owner ORDER BY job_id) FROM jobmon.job_log") == [
        *("postgres", "jobmon_log", "jobmon_admin")
    ]


def test_a_link_that_a_rollback_opened_is_ended_too(quick: Database, session: psycopg.Connection) -> None:
    with quick.connect(autocommit=False) as caller:
        caller.execute(A_JOB.encode())
        caller.rollback()
        caller.execute(A_JOB.encode())
        caller.rollback()
        until(lambda: value(session, LINKS) == 0)
    assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE status = 'OK'") == 2


def test_where_dblink_mapping_says_how_it_connects_the_link_goes_with_its_job(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("INSERT INTO jobmon.dblink_mapping (port) VALUES (current_setting('port'))")
    with database.connect() as caller:
        caller.execute(A_JOB.encode())
        until(lambda: value(session, LINKS) == 0)


def test_where_bootstrap_has_not_been_run_since_an_upgrade_from_13_the_link_goes_with_its_job(
    database: Database, session: psycopg.Connection, ended_by_server: None
) -> None:
    assert database.ctl("bootstrap").status == 0
    role = value(session, "SELECT role_name::text FROM jobmon.link")
    session.execute(f"ALTER ROLE {role} RESET idle_session_timeout".encode())
    with database.connect() as caller:
        caller.execute(A_JOB.encode())
        until(lambda: value(session, LINKS) == 0)


def test_a_link_that_was_open_before_an_upgrade_goes_with_its_job(
    database: Database, session: psycopg.Connection
) -> None:
    """Its role had no timeout then."""
    with database.connect() as caller:
        # which libpq knows from version 16 on
        conninfo = re.sub(r"require_auth='\S+' ", "", value(session, "SELECT p_conninfo FROM jobmon.link_conninfo()"))
        caller.execute("SELECT jobmon_dblink.dblink_connect('jobmon_link', %s)", [conninfo])
        assert value(session, LINKS) == 1
        caller.execute(A_JOB.encode())
        until(lambda: value(session, LINKS) == 0)


KEPT = (
    ["idle_session_timeout=30s"],
    ["idle_session_timeout=1min", "log_min_messages=fatal"],
    ["idle_session_timeout=0"],
    ["idle_session_timeout=1500"],
)
SET_BACK = (
    ["idle_session_timeout=1"],
    ["idle_session_timeout=999"],
    ["idle_session_timeout=250ms"],
    ["idle_session_timeout=5000us"],
)
"""Any user of an open link can set these, and a link that ends between two calls logs nothing."""


@pytest.mark.parametrize(("choices", "stays"), [(KEPT, True), (SET_BACK, False)], ids=["kept", "set back"])
def test_what_a_site_has_set_stays(
    database: Database,
    session: psycopg.Connection,
    ended_by_server: None,
    choices: Sequence[Sequence[str]],
    stays: bool,
) -> None:
    """The last of the choices with all of bootstrap, the others with the part of it that sees to the link's role."""
    assert database.ctl("bootstrap").status == 0
    installed = ["idle_session_timeout=10s", "log_min_messages=panic"]
    for chosen in choices:
        assert value(session, SETTINGS) == installed
        for setting in chosen:
            name, _, wanted = setting.partition("=")
            _set(session, f"{name} = '{wanted}'")
        names = [setting.partition("=")[0] for setting in chosen]
        expected = sorted([*chosen, *(entry for entry in installed if entry.partition("=")[0] not in names)])
        if chosen == choices[-1]:
            assert bootstrap(session, "jobmon").changed is not stays
        else:
            with pinned(session) as part, part.transaction():
                ensure_link_role(part, "jobmon")
        assert value(session, SETTINGS) == (expected if stays else installed)
        if chosen == choices[-1]:
            break
        for setting in installed:
            name, _, wanted = setting.partition("=")
            _set(session, f"{name} = '{wanted}'")
    # a setting that isn't the link's goes, and the choice stays all the same
    _set(session, "work_mem = '1MB'")
    assert bootstrap(session, "jobmon").changed is True
    assert value(session, SETTINGS) == (expected if stays else installed)
    assert database.ctl("bootstrap", "--check").status == 0


def test_an_owner_who_is_no_superuser_is_told_what_keeps_the_servers_log_quiet(
    new_server: NewServer, ended_by_server: None
) -> None:
    hba = "local all postgres trust\nlocal all boss trust\nlocal all all scram-sha-256\n"
    database = Database(new_server(hba=hba), "postgres")
    with database.connect() as dba:
        dba.execute(
            "CREATE ROLE boss LOGIN CREATEROLE; GRANT pg_read_all_settings TO boss; GRANT CREATE ON DATABASE postgres TO boss;"
            "CREATE EXTENSION dblink"
        )
        assert database.ctl("bootstrap", "-U", "boss").status == 0
        assert value(dba, SETTINGS) == ["idle_session_timeout=10s"]
        _set(dba, "idle_session_timeout = '1s'")
        printed = database.ctl("bootstrap", "-U", "boss", "--print-superuser-sql").stdout
        assert "-- set log_min_messages for the link's role (not required)\n" in printed
        for script, lines in (("", 1), (printed, 0)):
            dba.execute(script.encode())
            died = fatal(database.server)
            with database.connect() as caller:
                caller.execute(A_JOB.encode())
                until(lambda: value(dba, LINKS) == 0)
                assert died() == ["FATAL:  terminating connection due to idle-session timeout"] * lines
        assert "lacks no right" in database.ctl("bootstrap", "-U", "boss", "--print-superuser-sql").stdout
        assert "nothing changed" in database.ctl("bootstrap", "-U", "boss").stdout


def test_links_that_wait_for_the_next_job_take_no_session_its_connection(new_server: NewServer) -> None:
    database = Database(new_server(max_connections="30", superuser_reserved_connections="3"), "postgres")
    with database.connect() as session, contextlib.ExitStack() as pool:
        bootstrap(session, "jobmon")
        session.execute("CREATE ROLE etl LOGIN IN ROLE jobmon_log")
        callers = [pool.enter_context(database.connect(user="etl")) for _ in range(16)]
        for _ in range(3):
            for caller in callers:
                caller.execute(A_JOB.encode())
        assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE status = 'OK'") == 48


def test_links_that_wait_for_the_next_job_do_not_meet_the_databases_limit(empty_database: Database) -> None:
    with empty_database.connect() as session, contextlib.ExitStack() as pool:
        bootstrap(session, "jobmon")
        session.execute(f"ALTER DATABASE {empty_database.name} CONNECTION LIMIT 20".encode())
        session.execute("CREATE ROLE etl_limited LOGIN IN ROLE jobmon_log")
        pool.callback(session.execute, "DROP ROLE etl_limited")
        callers = [pool.enter_context(empty_database.connect(user="etl_limited")) for _ in range(14)]
        for _ in range(3):
            for caller in callers:
                caller.execute(A_JOB.encode())
        assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE status = 'OK'") == 42
        pool.pop_all().close()


@pytest.mark.parametrize("free", [0, 1], ids=["none is left", "one is left, for the session"])
def test_where_links_take_the_last_connection_the_error_is_clear_and_no_command_s_run_is_lost(
    new_server: NewServer, tmp_path: Path, free: int
) -> None:
    database = Database(new_server(max_connections="12", superuser_reserved_connections="3"), "postgres")
    with database.connect() as session, contextlib.ExitStack() as pool:
        bootstrap(session, "jobmon")
        session.execute("CREATE ROLE etl LOGIN IN ROLE jobmon_log")
        callers = [pool.enter_context(database.connect(user="etl")) for _ in range(5)]
        # the superuser's session leaves eleven, of which three are reserved
        for caller in callers[:3]:
            caller.execute("SET jobmon.keep_link = on; SELECT jobmon.add_job('etl')")
        with pytest.raises(psycopg.errors.SqlclientUnableToEstablishSqlconnection) as refused:
            callers[3].execute("SELECT jobmon.add_job('etl')")
        assert re.search("too many clients|connection slots", refused.value.diag.message_primary or "")
        assert "see who holds the connections" in (refused.value.diag.message_hint or "")
        for _ in range(free):
            callers.pop().close()
            until(lambda: value(session, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'etl'") == 4)
        spool = ["--spool", str(tmp_path / "spool")]
        done = database.ctl("run", "shell", "-U", "etl", *spool, "--", "true")
        assert (done.status, "its log is kept in" in done.stderr) == (0, True), done
        pool.pop_all().close()
        until(lambda: value(session, LINKS) == 0)
        assert database.ctl("run", "--deliver", "-U", "etl", *spool).stdout == "runs delivered: 1\n"
        assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE job_name = 'SHELL' AND status = 'OK'") == 1


POOL = 50


def test_a_pool_whose_sessions_have_each_logged_once_has_no_link_left(
    new_server: NewServer, ended_by_server: None
) -> None:
    database = Database(new_server(max_connections=str(3 * POOL)), "postgres")
    with database.connect() as session, contextlib.ExitStack() as pool:
        bootstrap(session, "jobmon")
        died = fatal(database.server)
        callers = [pool.enter_context(database.connect()) for _ in range(POOL)]
        for number, caller in enumerate(callers):
            caller.execute((A_JOB if number % 2 else "SELECT jobmon.add_job('left open')").encode())
        assert value(session, LINKS) > 0
        until(lambda: value(session, LINKS) == 0)
        assert died() == []
        for caller in callers[:: POOL // 10]:
            caller.execute(A_JOB.encode())
        assert value(session, "SELECT count(*) FROM jobmon.job_log") == POOL + 10
