"""Databases that are hardened, published, limited, or of another encoding: what is logged there, and what bootstrap says."""

import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql

import check_jobmon
from check_jobmon.connection.errors import BootstrapError
from check_jobmon.demo.server import Server
from tests.database import Database, bootstrap, value
from tests.schema.test_upgrade import install_version


def revoke_connect(database: Database) -> None:
    with database.connect() as session:
        session.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC".encode())


def runs(session: psycopg.Connection) -> list[tuple[str, str]]:
    return session.execute("SELECT job_name, status FROM jobmon.job_log ORDER BY job_id").fetchall()


def test_the_link_connects_where_public_may_not(empty_database: Database) -> None:
    """Where that is so after bootstrap, test_a_log_that_is_hardened_and_published_later_works_as_before shows."""
    revoke_connect(empty_database)
    with empty_database.connect() as session:
        assert bootstrap(session, "jobmon").changed is True
        session.execute("SELECT jobmon.close_job(jobmon.add_job('etl'))")
        assert runs(session) == [("ETL", "OK")]
        assert bootstrap(session, "jobmon").changed is False


@pytest.fixture
def installer(empty_database: Database) -> Iterator[str]:
    """A role that may install, and neither owns the database nor is a superuser."""
    name = f"installer_of_{empty_database.name}"
    with empty_database.connect() as session:
        session.execute(f"CREATE ROLE {name} LOGIN CREATEROLE".encode())
        session.execute(f"GRANT CREATE, CONNECT ON DATABASE {empty_database.name} TO {name}".encode())
        session.execute("CREATE SCHEMA jobmon_dblink; CREATE EXTENSION dblink SCHEMA jobmon_dblink")
        session.execute(f"GRANT USAGE ON SCHEMA jobmon_dblink TO {name}".encode())
        yield name
        link = f"jobmon_link_{value(session, 'SELECT oid FROM pg_database WHERE datname = current_database()')}"
        session.execute(f"DROP OWNED BY {name} CASCADE".encode())
        if session.execute("SELECT FROM pg_roles WHERE rolname = %s", [link]).fetchone():
            session.execute(f"DROP OWNED BY {link}; DROP ROLE {link}".encode())
        session.execute(f"DROP ROLE {name}".encode())


def refusal(database: Database, role: str) -> str:
    """What bootstrap refuses with, as the role, without roles for people."""
    with database.connect(user=role) as session, pytest.raises(BootstrapError) as refused:
        bootstrap(session, "jobmon", with_roles=False)
    return str(refused.value)


def obeyed(database: Database, role: str) -> None:
    """The statements that are printed help."""
    printed = database.ctl("bootstrap", "--print-superuser-sql", "--no-roles", "-U", role)
    with database.connect() as session:
        session.execute(printed.stdout.encode())
    with database.connect(user=role) as session:
        assert "the link works" in bootstrap(session, "jobmon", with_roles=False).link
        session.execute("SELECT jobmon.fail_job(jobmon.add_job('etl'))")
        assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 1


def test_what_only_a_superuser_can_give_the_link_is_said_by_bootstrap(empty_database: Database, installer: str) -> None:
    """The right to connect, and to make failures alert."""
    revoke_connect(empty_database)
    with empty_database.connect() as session:
        session.execute(f"ALTER DATABASE {empty_database.name} SET session_replication_role = replica".encode())
    lacking = "let the link's role connect to this database, set session_replication_role for the link's role"
    assert f"may not {lacking}: " in refusal(empty_database, installer)
    obeyed(empty_database, installer)
    with empty_database.connect(user=installer) as session:
        assert bootstrap(session, "jobmon", with_roles=False).changed is False


def test_sessions_that_log_at_once_fail_in_no_isolation_level(database: Database, session: psycopg.Connection) -> None:
    bootstrap(session, "jobmon")

    def work(number: int) -> None:
        with database.connect() as own:
            own.execute("SET jobmon.keep_link = on")
            for _ in range(10):
                job = value(own, "SELECT jobmon.add_job('etl')")
                step = value(own, "SELECT jobmon.add_step(%s, 'load')", job)
                own.execute("SELECT jobmon.update_step(%s, 'OK', '')", [step])
                own.execute(f"SELECT jobmon.{'fail' if number % 2 else 'close'}_job(%s)".encode(), [job])

    for expected, isolation in ((40, "serializable"), (80, "repeatable read")):
        session.execute(f"ALTER DATABASE {database.name} SET default_transaction_isolation = '{isolation}'".encode())
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        ended = value(session, "SELECT count(*) FROM jobmon.job_log WHERE end_time IS NOT NULL")
        assert ended == expected, isolation


def test_what_keeps_runs_from_being_logged_is_said_by_bootstrap(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("CREATE ROLE mapped LOGIN; ALTER ROLE mapped SET default_transaction_read_only = on")
    try:
        session.execute("INSERT INTO jobmon.dblink_mapping (username) VALUES ('mapped')")
        with pytest.raises(BootstrapError) as refused:
            bootstrap(session, "jobmon")
        remedy = "ALTER ROLE mapped SET default_transaction_read_only = 'off'"
        assert f": ask a superuser to run: {remedy}; then run bootstrap again" in str(refused.value)
        session.execute(remedy.encode())
        assert bootstrap(session, "jobmon").link == 'the link works, as role "mapped"'
        session.execute("DELETE FROM jobmon.dblink_mapping")
    finally:
        session.execute("DROP OWNED BY mapped; DROP ROLE mapped")
    session.execute("ALTER TABLE jobmon.job_log ADD CHECK (pid < 0)")
    with pytest.raises(BootstrapError) as refused:
        bootstrap(session, "jobmon")
    said = r'nothing can be logged over it \(new row for relation "job_log\w*" violates check constraint'
    assert re.search(said, str(refused.value))


def test_the_trial_takes_no_number_that_is_in_use(session: psycopg.Connection) -> None:
    bootstrap(session, "jobmon")
    for job_id in (-(2**63), -1, 0, 2**63 - 1):
        session.execute("DELETE FROM jobmon.job_log")
        session.execute(
            "INSERT INTO jobmon.job_log (job_id, owner, job_name, start_time, pid) VALUES (%s, 'x', 'X', now(), 1)",
            [job_id],
        )
        session.execute(
            "INSERT INTO jobmon.job_detail (job_id, step_id, action, start_time) VALUES (%s, %s, 'x', now())",
            [job_id] * 2,
        )
        assert bootstrap(session, "jobmon").changed is False, job_id


def test_a_log_that_is_hardened_and_published_later_works_as_before(
    database: Database, session: psycopg.Connection
) -> None:
    """Nothing is left behind by a trial of the link, the link connects where PUBLIC may not, and every table can be published."""
    bootstrap(session, "jobmon")
    assert bootstrap(session, "jobmon", check=True).changed is False
    for table in ("job_log", "job_detail", "job_check_log"):
        assert value(session, f"SELECT count(*) FROM jobmon.{table}") == 0
    revoke_connect(database)
    assert value(session, "SELECT jobmon.add_job('etl')") == 1
    with database.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE jobmon.job_log IN SHARE MODE")
        assert bootstrap(session, "jobmon").changed is False
    session.execute("SELECT jobmon.close_job(1)")
    assert runs(session) == [("ETL", "OK")]
    lacking = """
        SELECT array_agg(c.relname::text)
          FROM pg_class AS c
         WHERE c.relnamespace = 'jobmon'::regnamespace AND c.relkind = 'r' AND c.relreplident <> 'f'
           AND NOT EXISTS (SELECT FROM pg_index AS i
                            WHERE i.indrelid = c.oid
                              AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END)
    """
    assert value(session, lacking) is None
    session.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT 1 / 0')") == "job 2 (ETL) failed"
    assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT')") == "job 3 (ETL) was successful"
    session.execute("INSERT INTO jobmon.dblink_mapping (port) VALUES (NULL)")
    session.execute("UPDATE jobmon.dblink_mapping SET port = NULL; DELETE FROM jobmon.dblink_mapping")
    session.execute("SELECT jobmon.job_log_clear('0')")
    assert runs(session) == [("JOB LOG CLEAR", "OK")]
    session.execute("UPDATE jobmon.link SET over = over")
    assert bootstrap(session, "jobmon").changed is False
    assert runs(session) == [("JOB LOG CLEAR", "OK")]
    assert database.ctl("run", "shell", "--", "true").status == 0


@pytest.mark.parametrize("published", [False, True], ids=["not published", "published"])
def test_a_run_that_is_in_job_check_log_twice_survives_the_upgrade(empty_database: Database, published: bool) -> None:
    install_version(empty_database, 5)
    with empty_database.connect() as session:
        session.execute(
            "INSERT INTO jobmon.job_check_log VALUES (1, 'OLD', 2), (1, 'OLD', 3), (1, 'OLD', 3), (2, 'NEW', 2), (2, 'NEW', 2)"
        )
        if published:
            session.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        bootstrap(session, "jobmon")
        assert session.execute("SELECT * FROM jobmon.job_check_log ORDER BY job_id").fetchall() == [
            (1, "OLD", 3),
            (2, "NEW", 2),
        ]


FULL = "see who holds the connections in pg_stat_activity"


def test_where_no_connection_is_left_the_limit_is_named(database: Database, session: psycopg.Connection) -> None:
    """Superusers pass a database's limit, so the link's role is what meets it."""
    session.execute(f"ALTER DATABASE {database.name} CONNECTION LIMIT 0".encode())
    for mapping in ("", "INSERT INTO jobmon.dblink_mapping (port) VALUES (NULL)"):
        session.execute(mapping.encode())
        with pytest.raises(errors.SqlclientUnableToEstablishSqlconnection) as failed:
            session.execute("SELECT jobmon.add_job('etl')")
        assert f'too many connections for database "{database.name}"' in str(failed.value)
        assert str(failed.value.diag.message_hint).endswith(f"or {FULL}.")
    with pytest.raises(BootstrapError) as refused:
        bootstrap(session, "jobmon")
    assert str(refused.value).endswith(f"raise the limit, or {FULL}; then run bootstrap again")


@pytest.fixture
def encoded(server: Server, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A bootstrapped database of the encoding that is the parameter."""
    name = f"encoded_{request.param.lower()}"
    with Database(server, "postgres").connect() as session:
        session.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'").format(
                sql.Identifier(name), request.param
            )
        )
        database = Database(server, name)
        with database.connect(client_encoding="utf8") as other:
            bootstrap(other, "jobmon")
        yield database
        session.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


NAMES = ["日本 🙂", "日本 🙃", "本日 🙂", "é", "è", "caf\udce9", "caf\udce8"]


@pytest.mark.parametrize("encoded", ["EUC_JP", "LATIN1", "WIN1251", "EUC_TW", "SQL_ASCII", "UTF8"], indirect=True)
def test_names_that_differ_stay_different_in_any_encoding(encoded: Database) -> None:
    """For one of them, `jobmonctl run` is a program that is started, with the bytes of its arguments; for the others, a fork."""
    is_started = encoded.name.endswith("utf8") or sys.getfilesystemencoding() != "utf-8"
    locale = {"LC_ALL": "C.UTF-8"} if is_started else {}
    for name in NAMES:
        with check_jobmon.job(name, schema="jobmon", **encoded.parameters) as job, job.step("日本 🙂 \udce9") as step:
            step.message = "日本 🙂 \udce9"
    for name in (NAMES[0], *NAMES[-2:]):
        assert encoded.ctl("run", name, "--", "true", **locale).stderr == ""
    with encoded.connect(client_encoding="utf8") as session:
        counted = session.execute("SELECT job_name, count(*) FROM jobmon.job_log GROUP BY job_name").fetchall()
        assert sorted(count for _, count in counted) == [1, 1, 1, 1, 2, 2, 2]
        if value(session, "SELECT getdatabaseencoding()") == "EUC_JP":
            assert ("日本 \\U0001F642", 2) in counted
    assert encoded.check().status == 0


@pytest.mark.parametrize("encoded", ["SQL_ASCII"], indirect=True)
def test_a_byte_that_is_no_text_blinds_no_command(encoded: Database) -> None:
    with encoded.connect(client_encoding="SQL_ASCII") as session:
        session.execute(b"SELECT jobmon.add_step(jobmon.add_job(E'caf\\xe9'), E'\\xe9')")
        session.execute(b"SELECT jobmon.update_step(1, E'\\xff', E'\\xfe'), jobmon.fail_job(1)")
    for command in ("show", "failed", "status", "running"):
        output = encoded.ctl(command)
        assert (output.status, output.stderr) == (0, "")
    assert "CAF� " in encoded.ctl("show").stdout
    output = encoded.ctl("detail", "1")
    assert (output.status, "�" in output.stdout) == (0, True)
    assert "CAF� failed 1 time" in encoded.check().stdout


def test_the_bundled_sql_is_ascii() -> None:
    """What isn't can't be stored in a database of any encoding."""
    for file in Path(check_jobmon.__file__).parent.rglob("*.sql"):
        assert file.read_bytes().isascii(), file
