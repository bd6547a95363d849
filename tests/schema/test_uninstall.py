"""jobmonctl uninstall: takes out what bootstrap has made, and nothing else; bootstrap afterwards works."""

import shlex

import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, value
from tests.schema.conftest import NewServer
from tests.schema.test_dump import logging_works, tables

ROLES = "SELECT array_agg(rolname::text ORDER BY rolname) FROM pg_roles WHERE rolname ~ '^jobmon_'"
CONTENTS = """
    SELECT ARRAY[(SELECT count(*) FROM pg_namespace WHERE nspname ~ '^jobmon'),
                 (SELECT count(*) FROM pg_extension WHERE extname = 'dblink')]
"""


@pytest.fixture
def alone(new_server: NewServer) -> Database:
    """The only database of its server that has a job log, with a run, a failure and a configured job."""
    database = Database(new_server(), "postgres")
    assert database.ctl("bootstrap").status == 0
    with database.connect() as session:
        session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '2 days', true, 0, '2000-01-01')")
        session.execute("UPDATE jobmon.job_status_text SET alert_text = 'FUBAR' WHERE alert_code = 3")
        session.execute("SELECT jobmon.close_job(jobmon.add_job('etl')), jobmon.sql_job('load', 'SELECT 1 / 0')")
    return database


def test_the_data_can_be_kept_and_else_nothing_is_left_and_bootstrap_goes_on_or_installs_it_again(
    alone: Database,
) -> None:
    """A session whose link was open meanwhile logs on."""
    asked = alone.ctl("uninstall")
    assert (asked.status, asked.stderr) == (
        1,
        "jobmonctl uninstall: not done: there is no terminal to ask at, so give -y\n",
    )
    assert (
        'would remove schema "jobmon" of database "postgres": 2 runs with 1 step, and 1 configured job\n'
        in asked.stdout
    )
    assert "to save it first: pg_dump -n jobmon postgres\n" in asked.stdout
    with alone.connect() as session, alone.connect() as caller:
        caller.execute("SET jobmon.keep_link = on; SELECT jobmon.sql_job('etl', 'SELECT')")
        before = tables(alone)
        done = alone.ctl("uninstall", "-y", "--keep-data")
        assert (done.status, done.stderr) == (0, "")
        assert value(session, ROLES) == ["jobmon_monitor", "jobmon_read"]
        assert value(session, "SELECT count(*) FROM jobmon.link") == 0
        assert value(session, "SELECT count(*) FROM pg_extension WHERE extname = 'dblink'") == 0
        assert alone.check().status == 0  # it reads tables alone
        assert alone.ctl("bootstrap").stdout.startswith("repaired ")
        assert "nothing changed" in alone.ctl("bootstrap").stdout
        assert tables(alone) == before
        assert value(caller, "SELECT jobmon.sql_job('etl', 'SELECT')") == "job 4 (ETL) was successful"
    logging_works(alone)
    done = alone.ctl("uninstall", "-y")
    assert (done.status, done.stderr) == (0, "")
    with alone.connect() as session:
        assert value(session, ROLES) is None
        assert value(session, CONTENTS) == [0, 0]
        again = alone.ctl("uninstall", "-y")
        assert (again.status, again.stderr.count("\n")) == (1, 1)
        assert alone.ctl("bootstrap").stdout.startswith("installed ")
        session.execute("UPDATE jobmon.job_status_text SET alert_text = 'FUBAR' WHERE alert_code = 3")
        assert value(session, "SELECT count(*) FROM jobmon.job_log") == 0
    logging_works(alone)


def test_what_another_log_or_another_database_uses_stays(database: Database) -> None:
    assert database.ctl("bootstrap").status == 0
    assert database.ctl("bootstrap", "--schema", "second").status == 0
    with database.connect() as session:
        ours = value(session, "SELECT role_name::text FROM jobmon.link")
        done = database.ctl("uninstall", "-y")
        assert (done.status, done.stderr) == (0, "")
        assert "would keep role jobmon_log, which is used in " in done.stdout
        assert {"jobmon_log", "jobmon_monitor"} <= set(value(session, ROLES))
        assert ours not in value(session, ROLES)
        assert "dblink was not removed from schema jobmon_dblink" in done.stdout
        assert value(session, "SELECT second.sql_job('etl', 'SELECT')") == "job 1 (ETL) was successful"
        assert database.ctl("uninstall", "-y", "--schema", "second").status == 0


@pytest.mark.parametrize(
    "own",
    [
        "CREATE VIEW public.mine AS SELECT job_id FROM jobmon.job_log",
        "CREATE VIEW jobmon.mine AS SELECT 1 AS one",
        "CREATE TABLE public.mine (job_id bigint REFERENCES jobmon.job_log)",
        "CREATE FUNCTION jobmon.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_nothing_goes_where_something_else_depends_on_it(database: Database, own: str) -> None:
    with database.connect() as session:
        session.execute(own.encode())
    assert database.ctl("bootstrap").status == 0
    before = tables(database)
    refused = database.ctl("uninstall", "-y")
    assert (refused.status, refused.stderr.count("\n")) == (1, 1)
    assert "mine" in refused.stderr
    assert tables(database) == before
    assert "nothing changed" in database.ctl("bootstrap").stdout


def test_what_bootstrap_has_not_made_is_not_touched(empty_database: Database) -> None:
    with empty_database.connect() as session:
        session.execute("CREATE SCHEMA jobmon; CREATE TABLE jobmon.job_log (job_id bigint)")
        refused = empty_database.ctl("uninstall", "-y")
        assert (refused.status, "was not made by bootstrap" in refused.stderr) == (1, True)
        assert value(session, "SELECT count(*) FROM jobmon.job_log") == 0


def test_a_superuser_refuses_what_is_not_a_superusers(database: Database) -> None:
    with database.connect() as session:
        session.execute("CREATE ROLE uninstall_stranger")
        try:
            session.execute("ALTER TABLE jobmon.job_check_config OWNER TO uninstall_stranger")
            refused = database.ctl("uninstall", "-y")
            assert (refused.status, "connect as" in refused.stderr) == (1, True)
            assert value(session, "SELECT count(*) FROM jobmon.job_check_config") == 0
        finally:
            session.execute("DROP OWNED BY uninstall_stranger CASCADE; DROP ROLE uninstall_stranger")


def test_the_links_of_dropped_databases_are_found(database: Database, new_server: NewServer) -> None:
    server = new_server()
    admin = Database(server, "postgres")
    with admin.connect() as session:
        for name in ("stays", "goes"):
            session.execute(f"CREATE DATABASE {name}".encode())
            assert Database(server, name).ctl("bootstrap").status == 0
        session.execute("DROP DATABASE goes")
        session.execute("CREATE ROLE jobmon_link_; CREATE ROLE jobmon_link_1x")
        before = set(value(session, ROLES))
        assert admin.ctl("uninstall", "--orphans").status == 1
        assert set(value(session, ROLES)) == before
        done = admin.ctl("uninstall", "--orphans", "-y")
        assert (done.status, done.stdout.splitlines()[-1]) == (0, "dropped 1 role")
        (gone,) = before - set(value(session, ROLES))
        assert gone.startswith("jobmon_link_")
        assert (
            admin.ctl("uninstall", "--orphans", "-y").stdout
            == "no link's role is left from a database that has been dropped\n"
        )
    logged = Database(server, "stays")
    with logged.connect() as session:
        session.execute("SELECT jobmon.close_job(jobmon.add_job('etl'))")


def test_the_logs_owner_ends_the_links_that_are_open(new_server: NewServer) -> None:
    """One who is no superuser, and has made the link's role."""
    hba = "local all postgres trust\nlocal all boss trust\nlocal all all scram-sha-256\n"
    database = Database(new_server(hba=hba), "postgres")
    with database.connect() as session:
        session.execute(
            "CREATE ROLE boss LOGIN CREATEROLE; GRANT pg_read_all_settings TO boss; GRANT CREATE ON DATABASE postgres TO boss;"
            "CREATE EXTENSION dblink"
        )
    as_boss = ["-U", "boss"]
    assert database.ctl("bootstrap", *as_boss).status == 0
    with database.connect(user="boss") as caller, database.connect() as session:
        caller.execute("SET jobmon.keep_link = on; SELECT jobmon.sql_job('etl', 'SELECT')")
        assert database.ctl("uninstall", "--keep-data", "-y", *as_boss).stderr == ""
        assert value(session, ROLES) == ["jobmon_monitor", "jobmon_read"]
        assert database.ctl("bootstrap", *as_boss).status == 0
        assert value(caller, "SELECT jobmon.sql_job('etl', 'SELECT')") == "job 2 (ETL) was successful"
        assert database.ctl("uninstall", "-y", *as_boss).stderr == ""
        assert value(session, ROLES) is None


def test_a_name_that_means_something_to_a_shell_is_quoted(server: Server, template: str) -> None:
    named = Database(server, "of 'mine'; $(echo)")
    with Database(server, "postgres").connect() as session:
        session.execute(f'CREATE DATABASE "{named.name}" TEMPLATE {template}'.encode())
        try:
            last = named.ctl("uninstall").stdout.splitlines()[-1]
            assert shlex.split(last.partition(": ")[2]) == ["pg_dump", "-n", "jobmon", named.name]
            assert named.ctl("uninstall", "-y").status == 0
        finally:
            session.execute(f'DROP DATABASE "{named.name}" WITH (FORCE)'.encode())
