"""jobmonctl bootstrap: what it promises, through the real command."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from check_jobmon.connection.errors import BootstrapError, CheckImpossible
from check_jobmon.connection.session import Session
from check_jobmon.schema import install
from check_jobmon.schema.scripts import version
from tests.database import Database, bootstrap, until, value
from tests.schema.conftest import NewServer

VERSION = version()
ASK = (
    ': have a superuser run, in database "{}", what "jobmonctl bootstrap --print-superuser-sql" prints with the same options, '
    "then run bootstrap again\n"
)


def catalog(database: Database) -> list[tuple[object, ...]]:
    """All that bootstrap makes: the place and the version of each row in the catalogs, because a change gives it others."""
    tables = ("pg_namespace", "pg_class", "pg_attribute", "pg_proc", "pg_trigger", "pg_constraint", "pg_extension")
    with database.connect() as session:
        rows: list[tuple[object, ...]] = []
        for table in (*tables, "pg_description", "pg_depend"):
            rows += session.execute(f"SELECT '{table}', ctid::text, xmin::text FROM {table}".encode()).fetchall()
        rows += session.execute(
            "SELECT rolname, rolpassword, xmin::text FROM pg_authid WHERE rolname LIKE 'jobmon%%' ORDER BY 1"
        ).fetchall()
        return rows


def content(database: Database) -> list[tuple[object, ...]]:
    """The rows of all the schema's tables."""
    with database.connect() as session:
        tables = session.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'jobmon'::regnamespace AND relkind = 'r'"
            " ORDER BY 1"
        ).fetchall()
        return [
            (table, *row)
            for (table,) in tables
            for row in session.execute(f"SELECT ctid::text, xmin::text, t::text FROM {table} AS t".encode()).fetchall()
        ]


def can_log(database: Database, schema: str = "jobmon") -> bool:
    """Whether a job that is logged leaves a run in the log."""
    with database.connect() as session:
        session.execute(f"SELECT {schema}.close_job({schema}.add_job('trial'))".encode())
        return bool(value(session, f"SELECT count(*) FROM {schema}.job_log WHERE job_name = 'TRIAL' AND status = 'OK'"))


@pytest.fixture
def dba(empty_database: Database) -> Iterator[str]:
    """A role that may make things in the database but is no superuser."""
    role = f"dba_{empty_database.name}"
    with empty_database.connect() as session:
        session.execute(f"CREATE ROLE {role} LOGIN".encode())
        session.execute(f"GRANT CREATE ON DATABASE {empty_database.name} TO {role}".encode())
    yield role
    with empty_database.connect() as session:
        session.execute(f"DROP OWNED BY {role} CASCADE".encode())
        session.execute(f"DROP ROLE {role}".encode())


def test_it_installs_everything_once_and_says_so_in_one_line(empty_database: Database) -> None:
    """And then neither it nor --check changes anything."""
    done = empty_database.ctl("bootstrap")
    where = f'schema "jobmon" of database "{empty_database.name}"'
    assert done.stdout.startswith(f'installed version {VERSION} in {where}; the link works, as role "jobmon_link_')
    assert (done.stdout.count("\n"), done.stderr, done.status) == (1, "", 0)
    assert can_log(empty_database)
    with empty_database.connect() as session:
        assert value(session, "SELECT max(version) FROM jobmon.schema_version") == VERSION
        assert value(session, "SELECT count(*) FROM jobmon.schema_version") == VERSION
    before = catalog(empty_database), content(empty_database)
    for options, nothing in (((), "nothing changed"), (("--check",), "nothing to do")):
        again = empty_database.ctl("bootstrap", *options)
        assert again.stdout.startswith(f"{where} is up to date (version {VERSION}), {nothing}; the link works")
        assert (again.stdout.count("\n"), again.stderr, again.status) == (1, "", 0)
        assert (catalog(empty_database), content(empty_database)) == before
    assert empty_database.ctl("bootstrap", "--check", "-q").stdout == ""


def test_two_schemas_in_one_database_are_apart(empty_database: Database) -> None:
    """They use dblink wherever it is, and no default of the database matters."""
    with empty_database.connect() as session:
        session.execute('CREATE SCHEMA "Far Away"')
        session.execute('CREATE EXTENSION dblink SCHEMA "Far Away"')
        for setting in (
            "default_transaction_isolation = 'serializable'",
            "default_transaction_read_only = on",
            "search_path = nowhere",
            "check_function_bodies = off",
            "standard_conforming_strings = on",
        ):
            session.execute(f"ALTER DATABASE {empty_database.name} SET {setting}".encode())
    assert empty_database.ctl("bootstrap").stdout.startswith("installed version")
    done = empty_database.ctl("bootstrap", "--schema", "job_log_2")
    assert done.stdout.startswith(f'installed version {VERSION} in schema "job_log_2"')
    assert "nothing changed" in empty_database.ctl("bootstrap").stdout
    assert can_log(empty_database)
    with empty_database.connect() as session:
        assert value(session, "SELECT count(*) FROM job_log_2.job_log") == 0
    assert can_log(empty_database, "job_log_2")
    with empty_database.connect() as session:
        assert value(session, "SELECT count(*) FROM pg_namespace WHERE nspname = 'jobmon_dblink'") == 0


@pytest.mark.parametrize("name", ["Jobmon", "job mon", 'x"; DROP TABLE y; --', "1st", "x" * 41])
def test_a_schema_name_that_wont_do_is_refused(empty_database: Database, name: str) -> None:
    done = empty_database.ctl("bootstrap", "--schema", name)
    assert done.stderr == (
        f"jobmonctl bootstrap: \"{name}\" can't be the schema's name: use at most 40 lower-case letters, digits and "
        "underscores\n"
    )
    assert (done.stdout, done.status) == ("", 1)


def test_a_schema_with_something_else_in_it_is_refused_and_untouched(empty_database: Database) -> None:
    with empty_database.connect() as session:
        session.execute("CREATE SCHEMA jobmon")
        session.execute("CREATE VIEW jobmon.mine AS SELECT 1 AS x")
    before = catalog(empty_database)
    done = empty_database.ctl("bootstrap")
    assert done.stderr == (
        'jobmonctl bootstrap: schema "jobmon" already holds objects that are not check_jobmon\'s (relation mine); nothing '
        "was changed: name another schema with --schema\n"
    )
    assert (done.stdout, done.status) == ("", 1)
    assert catalog(empty_database) == before


def test_a_locked_table_that_is_not_check_jobmons_is_refused_without_waiting_for_it(empty_database: Database) -> None:
    """As long as its lock is held: whoever owns the table could hold bootstrap up."""
    with empty_database.connect(autocommit=False) as other:
        other.execute("CREATE SCHEMA jobmon")
        other.execute("CREATE TABLE jobmon.schema_version (version text)")
        other.commit()
        other.execute("LOCK TABLE jobmon.schema_version")
        done = empty_database.ctl("bootstrap")
        assert "(relation schema_version is not check_jobmon's)" in done.stderr
        assert (done.stdout, done.status) == ("", 1)


def test_the_extension_pg_jobmon_is_left_alone(empty_database: Database) -> None:
    with empty_database.connect() as session:
        if session.info.server_version < 180000:
            pytest.skip("only PostgreSQL 18 loads an extension from anywhere")
        # the server can read its own folder, whoever runs it
        folder = empty_database.server.folder / "share" / "extension"
        folder.mkdir(parents=True)
        (folder / "pg_jobmon.control").write_text("default_version = '1.5'\n")
        (folder / "pg_jobmon--1.5.sql").write_text("CREATE TABLE job_log (job_id bigint);\n")
        session.execute(f"SET extension_control_path = '{folder.parent}'".encode())
        session.execute("CREATE SCHEMA jobmon")
        session.execute("CREATE EXTENSION pg_jobmon SCHEMA jobmon")
    before = catalog(empty_database)
    done = empty_database.ctl("bootstrap")
    assert done.stderr == (
        'jobmonctl bootstrap: schema "jobmon" holds the extension pg_jobmon, which check_jobmon can read as it is: '
        'nothing to install (or take its log over with "jobmonctl migrate", or name another schema with --schema)\n'
    )
    assert done.status == 1
    assert catalog(empty_database) == before


def test_the_place_of_dblink_is_taken(empty_database: Database) -> None:
    with empty_database.connect() as session:
        session.execute("CREATE SCHEMA jobmon_dblink")
    done = empty_database.ctl("bootstrap")
    assert done.stderr == (
        "jobmonctl bootstrap: dblink is not installed, and the schema that bootstrap makes for it exists already: drop "
        'schema "jobmon_dblink", or install dblink yourself (CREATE EXTENSION dblink)\n'
    )
    assert done.status == 1


def test_who_may_not_install_dblink_is_told_what_to_ask_for(empty_database: Database, dba: str) -> None:
    before = catalog(empty_database)
    done = empty_database.ctl("bootstrap", "-U", dba)
    assert done.stderr == (
        f'jobmonctl bootstrap: role "{dba}" may not install dblink, create the link\'s role{ASK.format(empty_database.name)}'
    )
    assert (done.stdout, done.status) == ("", 1)
    assert catalog(empty_database) == before


def test_who_may_not_make_roles_is_told_what_to_ask_for(empty_database: Database, dba: str) -> None:
    with empty_database.connect() as session:
        session.execute("CREATE SCHEMA jobmon_dblink")
        session.execute("CREATE EXTENSION dblink SCHEMA jobmon_dblink")
        session.execute(f"GRANT USAGE ON SCHEMA jobmon_dblink TO {dba}".encode())
    before = catalog(empty_database)
    done = empty_database.ctl("bootstrap", "-U", dba)
    assert done.stderr == (
        f'jobmonctl bootstrap: role "{dba}" may not create the link\'s role{ASK.format(empty_database.name)}'
    )
    assert (done.stderr.count("\n"), done.stdout, done.status) == (1, "", 1)
    assert catalog(empty_database) == before


def test_who_may_not_create_a_schema_is_told(empty_database: Database, dba: str) -> None:
    with empty_database.connect() as session:
        session.execute("CREATE EXTENSION dblink")
        session.execute(f"REVOKE CREATE ON DATABASE {empty_database.name} FROM {dba}".encode())
    done = empty_database.ctl("bootstrap", "-U", dba)
    assert done.stderr == (
        f'jobmonctl bootstrap: role "{dba}" may not create a schema in this database, create the link\'s role'
        f"{ASK.format(empty_database.name)}"
    )
    assert done.status == 1


def test_a_schema_of_another_owner_is_left_alone(database: Database, session: psycopg.Connection) -> None:
    role = f"stranger_{database.name}"
    session.execute(f"CREATE ROLE {role} LOGIN".encode())
    try:
        done = database.ctl("bootstrap", "-U", role)
        assert done.stderr == (
            'jobmonctl bootstrap: schema "jobmon" belongs to role "postgres": connect as that role (-U)\n'
        )
        assert done.status == 1
    finally:
        session.execute(f"DROP ROLE {role}".encode())


def test_what_was_changed_or_dropped_is_repaired(database: Database, session: psycopg.Connection) -> None:
    """One thing at a time, because each has to be noticed by itself; --check leaves it as it is."""
    # the link's role of a cloned database
    assert database.ctl("bootstrap").stdout.startswith("repaired ")
    where = f'schema "jobmon" of database "{database.name}", version {VERSION}'
    session.execute("COMMENT ON FUNCTION jobmon.close_job(bigint) IS 'mine'")
    before = catalog(database), content(database)
    done = database.ctl("bootstrap", "--check")
    assert done.stdout.startswith(f"would repair {where}")
    assert done.status == 1
    assert (catalog(database), content(database)) == before

    session.execute(
        "CREATE OR REPLACE FUNCTION jobmon.close_job(p_job_id bigint) RETURNS void LANGUAGE sql AS 'SELECT 1'"
    )
    session.execute("GRANT EXECUTE ON FUNCTION jobmon.link_conninfo() TO PUBLIC")
    done = database.ctl("bootstrap", "-q")
    assert done.stdout.startswith(f"repaired {where}; the link works")
    assert done.status == 0
    assert can_log(database)
    assert not value(
        session,
        "SELECT EXISTS (SELECT FROM pg_proc, aclexplode(proacl)"
        " WHERE oid = 'jobmon.link_conninfo()'::regprocedure AND grantee = 0)",
    )
    assert value(session, "SELECT obj_description('jobmon.close_job(bigint)'::regprocedure, 'pg_proc')") != "mine"

    session.execute("DROP TRIGGER job_log_ended ON jobmon.job_log")
    assert database.ctl("bootstrap").stdout.startswith("repaired ")
    session.execute("SELECT jobmon.fail_job(jobmon.add_job('etl'))")
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 1

    role = value(session, "SELECT role_name FROM jobmon.link")
    session.execute(f"DROP OWNED BY {role}".encode())
    session.execute(f"DROP ROLE {role}".encode())
    assert database.ctl("bootstrap").stdout.startswith("repaired ")
    assert can_log(database)

    done = database.ctl("bootstrap", "-q")
    assert (done.stdout, done.stderr, done.status) == ("", "", 0)


def test_a_newer_schema_is_refused(database: Database, session: psycopg.Connection) -> None:
    session.execute("INSERT INTO jobmon.schema_version (version, script, package) VALUES (999, '999_x.sql', '99')")
    before = catalog(database)
    done = database.ctl("bootstrap")
    assert re.fullmatch(
        rf'jobmonctl bootstrap: schema "jobmon" has version 999, newer than the version {VERSION} that check_jobmon \S+ brings: '
        r"upgrade the package\n",
        done.stderr,
    )
    assert (done.stdout, done.status) == ("", 1)
    assert catalog(database) == before


def test_an_unknown_database_or_host_is_one_line(database: Database) -> None:
    done = database.ctl("bootstrap", "-d", "nowhere")
    assert 'database "nowhere" does not exist' in done.stderr
    assert (done.stderr.count("\n"), done.stdout, done.status) == (1, "", 1)
    done = database.ctl("bootstrap", "-H", "/nonexistent")
    assert done.stderr.startswith("jobmonctl bootstrap: ")
    assert (done.stderr.count("\n"), done.stdout, done.status) == (1, "", 1)


REJECT_SOCKET = """
local all postgres trust
local all all reject
host all all 127.0.0.1/32 scram-sha-256
"""


def test_where_the_socket_refuses_the_link_tcp_is_chosen(new_server: NewServer) -> None:
    database = Database(new_server(hba=REJECT_SOCKET), "postgres")
    done = database.ctl("bootstrap")
    assert done.stdout.startswith(f"installed version {VERSION}"), done
    assert can_log(database)
    with database.connect() as session:
        assert value(session, "SELECT over FROM jobmon.link") == "tcp"
        session.execute("SELECT jobmon.add_job('open')")
        assert value(
            session, "SELECT client_addr::text FROM pg_stat_activity WHERE application_name LIKE 'jobmon link%%'"
        ).startswith("127.0.0.1")
    assert "nothing changed" in database.ctl("bootstrap").stdout
    # and back, once the socket is all there is
    (database.server.data / "pg_hba.conf").write_text(
        "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 reject\n"
    )
    with database.connect() as session:
        session.execute("SELECT pg_reload_conf()")
    check = database.ctl("bootstrap", "--check")
    while check.status == 0:  # until the server has read the file
        check = database.ctl("bootstrap", "--check")
    assert check.stdout.startswith('would repair schema "jobmon"')
    assert database.ctl("bootstrap").stdout.startswith("repaired ")
    assert can_log(database)


def test_where_nothing_lets_the_link_in_that_is_said_in_one_line(new_server: NewServer) -> None:
    hba = "local all postgres trust\nlocal all all reject\nhost all all 127.0.0.1/32 reject\n"
    database = Database(new_server(hba=hba), "postgres")
    for _ in range(2):
        done = database.ctl("bootstrap")
        assert done.stderr.startswith(
            "jobmonctl bootstrap: the schema is installed, but its link does not connect, so nothing can be logged yet (the job "
        )
        assert "pg_hba.conf rejects connection" in done.stderr
        assert (
            "127.0.0.1/32 scram-sha-256), or say in jobmon.dblink_mapping how to connect; then run bootstrap again\n"
            in (done.stderr)
        )
        assert (done.stderr.count("\n"), done.stdout, done.status) == (1, "", 1)
        assert "password" not in done.stderr.replace("with its password", "")


def test_a_mapping_that_makes_the_link_a_superuser_is_refused(database: Database, session: psycopg.Connection) -> None:
    session.execute("INSERT INTO jobmon.dblink_mapping (username) VALUES ('postgres')")
    done = database.ctl("bootstrap")
    assert 'as jobmon.dblink_mapping says: role "postgres" is a superuser' in done.stderr
    assert "leave username and pwd NULL in jobmon.dblink_mapping" in done.stderr
    assert (done.stderr.count("\n"), done.status) == (1, 1)


def test_a_link_without_a_role_is_refused_and_never_the_servers_own_user(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("DELETE FROM jobmon.link")
    session.execute("INSERT INTO jobmon.dblink_mapping (username) VALUES ('')")
    with pytest.raises(psycopg.OperationalError, match=r"the job log's link can't connect.*it has no role yet"):
        session.execute("SELECT jobmon.add_job('etl')")
    session.execute("DELETE FROM jobmon.dblink_mapping")
    assert database.ctl("bootstrap").stdout.startswith("repaired ")
    assert can_log(database)


def test_check_says_what_would_be_installed_and_does_nothing(empty_database: Database) -> None:
    before = catalog(empty_database)
    done = empty_database.ctl("bootstrap", "--check")
    assert done.stdout.startswith(
        f'would install version {VERSION} in schema "jobmon" of database "{empty_database.name}"'
    )
    assert (done.stdout.count("\n"), done.stderr, done.status) == (1, "", 1)
    assert catalog(empty_database) == before


def test_nobody_without_rights_in_the_schema_can_hold_bootstrap_up(
    database: Database, session: psycopg.Connection
) -> None:
    role = f"stranger_{database.name}"
    session.execute(f"CREATE ROLE {role} LOGIN".encode())
    try:
        with database.connect(user=role) as stranger:
            # the lock that bootstrap took once
            stranger.execute("SELECT pg_advisory_lock(hashtextextended('check_jobmon bootstrap jobmon', 0))")
            for table in ("schema_version", "link", "job_log"):
                with stranger.transaction(), pytest.raises(psycopg.errors.InsufficientPrivilege):
                    stranger.execute(f"LOCK TABLE jobmon.{table} IN ACCESS SHARE MODE".encode())
            session.execute("SET lock_timeout = '1s'")
            bootstrap(session, "jobmon")
            taken = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            assert value(session, taken) == 0
    finally:
        session.execute(f"DROP ROLE {role}".encode())


def test_who_holds_a_lock_that_bootstrap_needs_is_named(
    database: Database, session: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("check_jobmon.schema.install.LOCK_SECONDS", 0.2)
    session.execute("DROP TRIGGER job_log_ended ON jobmon.job_log")
    for statement, table in (
        ("INSERT INTO jobmon.job_log (owner, job_name, start_time, pid) VALUES ('x', 'X', now(), 1)", "job_log"),
        ("LOCK TABLE jobmon.schema_version IN SHARE MODE", "schema_version"),
    ):
        with (
            database.connect(autocommit=False, application_name="etl nightly") as holder,
            database.connect(autocommit=False) as reader,
        ):
            reader.execute("SELECT count(*) FROM jobmon.job_detail")
            holder.execute(statement.encode())
            before = catalog(database)
            with pytest.raises(BootstrapError) as refused:
                bootstrap(session, "jobmon")
            pid = holder.info.backend_pid
            assert re.fullmatch(
                rf"waited 0\.2 seconds for a lock, probably that on {table}, locked by pid {pid} \(role \"postgres\", "
                rf'application "etl nightly"\), in a transaction since \d[^:]*:\d\d:\d\d\S*: wait for its end, or end it '
                rf"\(SELECT pg_terminate_backend\({pid}\)\), then run bootstrap again",
                str(refused.value),
            )
            assert catalog(database) == before
    assert bootstrap(session, "jobmon").changed is True


def test_where_nothing_has_to_be_changed_bootstrap_waits_for_nothing_that_is_done_to_a_table(
    database: Database, session: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VACUUM, ANALYZE and CREATE INDEX CONCURRENTLY take this lock, perhaps for hours; cron bootstraps every day."""
    monkeypatch.setattr("check_jobmon.schema.install.LOCK_SECONDS", 0.2)
    bootstrap(session, "jobmon")  # makes the link's role of a cloned database
    tables = value(
        session,
        "SELECT string_agg(oid::regclass::text, ', ') FROM pg_class"
        " WHERE relnamespace = 'jobmon'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'schema_version'",
    )
    with database.connect(autocommit=False) as holder:
        holder.execute(f"LOCK TABLE {tables} IN SHARE UPDATE EXCLUSIVE MODE".encode())
        assert bootstrap(session, "jobmon").changed is False
    # as an earlier version left them
    said = "the silence also ends for a job when that job''s next run starts"
    session.execute(f"COMMENT ON COLUMN jobmon.job_silence.until_next_run IS '{said}'".encode())
    session.execute("COMMENT ON FUNCTION jobmon.close_job(bigint) IS 'ends a run'")
    assert bootstrap(session, "jobmon").changed is True
    comment = "SELECT col_description(attrelid, attnum) FROM pg_attribute WHERE attname = 'until_next_run'"
    assert value(session, f"{comment} AND attrelid = 'jobmon.job_silence'::regclass").endswith("completed or crashed")


def test_who_holds_a_lock_is_named_before_the_time_for_a_statement_is_over(database: Database) -> None:
    with database.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE jobmon.schema_version IN SHARE MODE")
        done = database.ctl("bootstrap", "--timeout", "1")
        assert (
            f"waited 0.9 seconds for a lock, probably that on schema_version, locked by pid {holder.info.backend_pid}"
            in (done.stderr)
        )
        assert (done.stderr.count("\n"), done.status) == (1, 1)


@pytest.fixture
def owned_database(empty_database: Database, dba: str) -> Iterator[Database]:
    """An empty database that belongs to a role that is no superuser."""
    with empty_database.connect() as session:
        session.execute(f"ALTER DATABASE {empty_database.name} OWNER TO {dba}".encode())
        # as it is from PostgreSQL 15 on
        owner = "pg_database_owner" if session.info.server_version >= 140000 else dba
        session.execute(f"ALTER SCHEMA public OWNER TO {owner}".encode())
        yield empty_database
        session.execute(f"ALTER DATABASE {empty_database.name} OWNER TO postgres".encode())


def test_a_superuser_does_not_use_dblink_where_somebody_else_could_replace_it(
    owned_database: Database, dba: str
) -> None:
    with owned_database.connect() as session:
        session.execute("CREATE EXTENSION dblink SCHEMA public")
        with pytest.raises(BootstrapError) as refused:
            bootstrap(session, "jobmon")
        said = str(refused.value)
        assert said.startswith(
            f'dblink is in schema "public", where role "{dba}" could put look-alikes of its functions'
        )
        gently, _, moving = said.partition("superuser run ")[2].partition(
            "; then run bootstrap again. Or move dblink, "
        )
        assert moving.startswith("and no job can be logged from then until bootstrap has run: ")
        with session.transaction(force_rollback=True):
            session.execute(moving.partition(": ")[2].encode())
        session.execute(gently.encode())
        assert bootstrap(session, "jobmon").changed is True
        # the application can go on as before
        assert value(session, "SELECT has_schema_privilege(%s, 'public', 'CREATE')", dba)
        assert can_log(owned_database)
        # and a log that is there already survives the move
        session.execute(moving.partition(": ")[2].encode())
        assert bootstrap(session, "jobmon").changed is True
    assert can_log(owned_database)
    # and whenever somebody gets hold of it
    with owned_database.connect() as session:
        session.execute(f"ALTER SCHEMA jobmon_dblink OWNER TO {dba}".encode())
        with pytest.raises(BootstrapError, match="could put look-alikes"):
            bootstrap(session, "jobmon")
        session.execute("ALTER SCHEMA jobmon_dblink OWNER TO postgres")
        session.execute(f"ALTER FUNCTION jobmon_dblink.dblink_connect(text, text) OWNER TO {dba}".encode())
        with pytest.raises(BootstrapError, match="could put look-alikes") as refused:
            bootstrap(session, "jobmon")
        session.execute(str(refused.value).partition("superuser run ")[2].partition("; then run")[0].encode())
        assert bootstrap(session, "jobmon").changed is False


def test_an_ordinary_owner_can_log_after_the_revoke_that_bootstrap_proposes(empty_database: Database, dba: str) -> None:
    with empty_database.connect() as session:
        session.execute(f"CREATE EXTENSION dblink SCHEMA public; CREATE SCHEMA jobmon AUTHORIZATION {dba}".encode())
        session.execute(f"ALTER ROLE {dba} CREATEROLE".encode())
        with empty_database.connect(user=dba) as owner:
            said = bootstrap(owner, "jobmon", with_roles=False).dblink.said
            session.execute(said.partition("needs that right, run: ")[2].encode())
            assert bootstrap(owner, "jobmon", with_roles=False).dblink.said == ""
            job = value(owner, "SELECT jobmon.add_job('etl')")
            assert value(owner, "SELECT count(*) FROM jobmon.job_log WHERE job_id = %s", job) == 1


def test_that_public_may_execute_dblink_is_said_with_what_to_run(empty_database: Database) -> None:
    with empty_database.connect() as session:
        session.execute("CREATE EXTENSION dblink SCHEMA public")
        said = bootstrap(session, "jobmon").dblink.said
        assert said.startswith("PUBLIC may execute dblink, so any role ")
        assert "\n" not in said
        session.execute(said.partition("needs that right, run: ")[2].encode())
        report = bootstrap(session, "jobmon")
        assert (report.changed, report.dblink.said) == (False, "")
        assert can_log(empty_database)
        # nothing that sends SQL over a connection by its name is left to PUBLIC
        assert session.execute(
            "SELECT DISTINCT p.proname::text FROM pg_proc AS p WHERE p.probin LIKE '%dblink' AND p.pronargs > 0"
            " AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1"
        ).fetchall() == [
            (name,)
            for name in (
                "dblink_build_sql_delete",
                "dblink_build_sql_insert",
                "dblink_build_sql_update",
                "dblink_cancel_query",
                "dblink_connect",
                "dblink_disconnect",
                "dblink_error_message",
                "dblink_fdw_validator",
                "dblink_get_notify",
                "dblink_get_pkey",
                "dblink_get_result",
                "dblink_is_busy",
            )
        ]


def test_a_schema_that_somebody_makes_at_the_last_moment_is_not_taken(
    empty_database: Database, dba: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between bootstrap's look for a schema and its own making of one."""
    look = install._home

    def late(connection: Session, schema: str, with_roles: bool) -> tuple[str, int]:
        with empty_database.connect(user=dba) as attacker:
            attacker.execute("CREATE SCHEMA IF NOT EXISTS jobmon")
        return look(connection, schema, with_roles)

    monkeypatch.setattr(install, "_home", late)
    with empty_database.connect() as session:
        with pytest.raises(CheckImpossible, match=f'belongs to role "{dba}": connect as that role'):
            bootstrap(session, "jobmon")
        assert value(session, "SELECT count(*) FROM pg_class WHERE relnamespace = 'jobmon'::regnamespace") == 0


def test_a_bootstrap_that_waits_for_a_job_lets_it_log(database: Database, session: psycopg.Connection) -> None:
    """PostgreSQL can't see that the job's session, which bootstrap waits for, waits for its link, which waits for bootstrap."""
    session.execute("DROP TRIGGER job_log_ended ON jobmon.job_log")
    with database.connect(autocommit=False) as caller, ThreadPoolExecutor(1) as pool:
        caller.execute("SET statement_timeout = '30s'")
        job = value(caller, "SELECT jobmon.add_job('etl')")
        caller.execute(
            "SELECT count(*) FROM jobmon.job_log; INSERT INTO jobmon.job_check_config VALUES ('X', '1 d', '2 d')"
        )
        caller.execute("LOCK TABLE jobmon.job_log IN ROW EXCLUSIVE MODE")
        running = pool.submit(database.ctl, "bootstrap")
        until(lambda: value(session, "SELECT count(*) FROM pg_locks WHERE NOT granted") > 0)
        step = value(caller, "SELECT jobmon.add_step(%s, 'beside it')", job)
        caller.execute("SELECT jobmon.update_step(%s, 'OK', '')", [step])
        caller.commit()
        assert running.result().stdout.startswith("repaired ")
    assert value(session, "SELECT status FROM jobmon.job_detail") == "OK"
