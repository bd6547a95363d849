"""The roles that bootstrap makes, in more than one database of a cluster, and the mapping's role."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import errors

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.demo.server import Server
from check_jobmon.schema.roles import ROLES, TABLES, ensure_roles
from tests.database import Database, bootstrap, pinned, value


@pytest.fixture
def logger(session: psycopg.Connection) -> Iterator[str]:
    """A role that may log in, and log."""
    yield from _member(session, "roles_logger", "jobmon_log")


@pytest.fixture
def monitor(session: psycopg.Connection) -> Iterator[str]:
    """A role that may log in, and monitor."""
    yield from _member(session, "roles_monitor", "jobmon_monitor")


def _member(session: psycopg.Connection, name: str, of: str) -> Iterator[str]:
    session.execute(f"CREATE ROLE {name} LOGIN IN ROLE {of}".encode())
    yield name
    session.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


def test_the_role_to_log_with_can_log_and_nothing_else(
    database: Database, session: psycopg.Connection, logger: str
) -> None:
    with database.connect(user=logger) as caller:
        job = value(caller, "SELECT jobmon.add_job('etl')")
        step = value(caller, "SELECT jobmon.add_step(%s, 'load')", job)
        caller.execute("SELECT jobmon.update_step(%s, 'OK', '42 rows')", [step])
        assert value(caller, "SELECT jobmon.sql_step(%s, 'more', 'SELECT')", job) is True
        caller.execute("SELECT jobmon.close_job(%s)", [job])
        caller.execute("SELECT jobmon.fail_job(jobmon.add_job('etl'), 2)")
        assert value(caller, "SELECT jobmon.sql_job('report', 'SELECT')").endswith("was successful")
        with pytest.raises(errors.NoDataFound):
            caller.execute("SELECT jobmon.cancel_job(4711)")
        for denied in (
            "TABLE jobmon.job_log",
            "TABLE jobmon.link",
            "TABLE jobmon.dblink_mapping",
            "INSERT INTO jobmon.job_check_config VALUES ('X', '1 day', '1 day')",
            "DELETE FROM jobmon.job_check_log",
            "SELECT jobmon.job_log_clear('0')",
            "SELECT jobmon.show_job('etl')",
            "SELECT jobmon.link_do('{ping,x,1,0,0}')",
            "SELECT jobmon.link_call('ping', '{}')",
            "SELECT jobmon.link_conninfo()",
            "CREATE TABLE jobmon.mine ()",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                caller.execute(denied.encode())
    assert value(session, "SELECT array_agg(DISTINCT owner) FROM jobmon.job_log") == [logger]


def test_the_role_to_monitor_with_can_check_and_show_and_nothing_else(
    database: Database, session: psycopg.Connection, monitor: str
) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    session.execute("SELECT jobmon.add_step(%s, 'load')", [job])
    with database.connect(user=monitor) as watcher:
        for call in (
            "show_job('etl')",
            "show_job_like('e')",
            "show_running()",
            "show_detail('etl')",
            f"show_detail({job})",
        ):
            assert value(watcher, f"SELECT job_id FROM jobmon.{call}") == job
        assert watcher.execute("SELECT * FROM jobmon.show_job_status('OK')").fetchall() == []
        assert watcher.execute("SELECT * FROM jobmon.show_job_status('etl', 'OK')").fetchall() == []
        assert value(watcher, "SELECT alert_code FROM jobmon.check_job_status()") == 1
        assert value(watcher, "SELECT pg_has_role('pg_monitor', 'USAGE')")
        for denied in (
            "SELECT jobmon.add_job('x')",
            "SELECT jobmon.fail_job(1)",
            "SELECT jobmon.job_log_clear('0')",
            "TABLE jobmon.link",
            "TABLE jobmon.dblink_mapping",
            "DELETE FROM jobmon.job_log",
            "UPDATE jobmon.job_status_text SET alert_text = 'X'",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                watcher.execute(denied.encode())
    assert database.check("-U", monitor).status == 0


def test_job_log_clear_takes_a_grant_of_its_own(database: Database, session: psycopg.Connection, logger: str) -> None:
    session.execute(f"GRANT EXECUTE ON FUNCTION jobmon.job_log_clear(interval) TO {logger}".encode())
    with database.connect(user=logger) as caller:
        caller.execute("SELECT jobmon.job_log_clear('1 day')")
    assert session.execute("SELECT owner, job_name, status FROM jobmon.job_log").fetchall() == [
        (logger, "JOB LOG CLEAR", "OK")
    ]


@pytest.fixture
def other_database(server: Server, empty_database: Database) -> Iterator[Database]:
    """A second empty database beside `empty_database`."""
    with Database(server, "postgres").connect() as session:
        session.execute("CREATE DATABASE other TEMPLATE template0")
        yield Database(server, "other")
        session.execute("DROP DATABASE other WITH (FORCE)")


def test_two_databases_can_be_bootstrapped_at_the_same_moment_and_do_not_disturb_each_other(
    empty_database: Database, other_database: Database
) -> None:
    """The roles are the cluster's: only one of the two can make them."""
    with ThreadPoolExecutor() as threads:
        done = list(
            threads.map(lambda each: each.ctl("bootstrap", "--schema", "twin"), (empty_database, other_database))
        )
    assert [(each.status, each.stderr) for each in done] == [(0, "")] * 2
    with empty_database.connect() as one, other_database.connect() as two:
        for each in (one, two, one):
            assert value(each, "SELECT twin.sql_job('etl', 'SELECT')").endswith("was successful")
        link_role = "SELECT role_name::text FROM twin.link"
        assert value(one, link_role) != value(two, link_role)
        for each in (one, two):
            assert bootstrap(each, "twin").changed is False
            assert value(each, "SELECT twin.sql_job('etl', 'SELECT')").endswith("was successful")
        for each in (one, two):
            each.execute("DROP OWNED BY twin_log, twin_monitor")
        one.execute("DROP ROLE twin_log, twin_monitor")


def test_lost_rights_are_noticed_and_given_back(database: Database, session: psycopg.Connection) -> None:
    assert bootstrap(session, "jobmon").changed is True  # the link's role of a cloned database
    assert bootstrap(session, "jobmon").changed is False
    for loss in (
        "REVOKE SELECT ON jobmon.job_log FROM jobmon_monitor",
        "REVOKE EXECUTE ON FUNCTION jobmon.sql_job(text, text) FROM jobmon_log",
        "REVOKE USAGE ON SCHEMA jobmon FROM jobmon_log",
        "REVOKE pg_monitor FROM jobmon_monitor",
        "GRANT EXECUTE ON FUNCTION jobmon.link_do(text[]) TO PUBLIC",
    ):
        session.execute(loss.encode())
        assert bootstrap(session, "jobmon").changed is True, loss
    assert bootstrap(session, "jobmon").changed is False
    assert value(session, "SELECT has_function_privilege('public', 'jobmon.link_do(text[])', 'EXECUTE')") is False


def drop(session: psycopg.Connection, *names: str) -> None:
    """Drop the roles that are there, with their rights in this database."""
    for name in names:
        if value(session, "SELECT count(*) FROM pg_roles WHERE rolname = %s", name):
            session.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


SECRET = (
    "bridge",
    "bridge_job",
    "bridge_logged",
    "cancelled_job",
    "dblink_mapping",
    "job_lock",
    "link",
    "link_key_1",
    "link_key_2",
    "partitioning",
    "past_run",
    "schema_version",
)
"""The tables, and the sequences with the link's key, that nobody but the owner may read."""

OTHERS_RIGHTS = """
    SELECT concat_ws(' ', a.grantee::regrole, a.privilege_type, o.name)
      FROM (SELECT relname::text, relacl, relowner FROM pg_class WHERE relnamespace = 'jobmon'::regnamespace
             UNION ALL
            SELECT c.relname, a.attacl, c.relowner FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
             WHERE c.relnamespace = 'jobmon'::regnamespace
             UNION ALL
            SELECT proname, proacl, proowner FROM pg_proc WHERE pronamespace = 'jobmon'::regnamespace
             UNION ALL
            SELECT nspname, nspacl, nspowner FROM pg_namespace WHERE nspname = 'jobmon') AS o(name, acl, owner)
     CROSS JOIN aclexplode(o.acl) AS a
     WHERE a.grantee <> o.owner
       AND (o.name = ANY (%s) OR a.privilege_type IN ('TRIGGER', 'REFERENCES', 'CREATE') OR o.name LIKE 'link\\_%%')
       AND NOT (o.name IN ('link_answer', 'link_serve') AND pg_get_userbyid(a.grantee) LIKE 'jobmon\\_link\\_%%')
     ORDER BY 1
"""
"""Who but the owner has rights that no site's grant may give. The parameter: the tables that nobody else may use."""


def others_rights(session: psycopg.Connection) -> list[str]:
    return [row[0] for row in session.execute(OTHERS_RIGHTS.encode(), [list(SECRET)])]


def test_every_table_is_either_for_who_monitors_or_the_owners_alone(session: psycopg.Connection) -> None:
    """And so is every sequence that gives no column its numbers."""
    assert session.execute(
        "SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = 'jobmon'::regnamespace"
        " AND (c.relkind IN ('r', 'p') AND NOT c.relispartition OR c.relkind = 'S' AND NOT EXISTS"
        " (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')))"
        " ORDER BY 1"
    ).fetchall() == [(name,) for name in sorted((*SECRET, *TABLES))]


def test_a_sites_default_privileges_give_nobody_what_is_the_owners_alone(empty_database: Database) -> None:
    with empty_database.connect() as session:
        session.execute("CREATE ROLE roles_friend")
        try:
            for kind in ("SCHEMAS", "TABLES", "SEQUENCES", "FUNCTIONS"):
                session.execute(
                    f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO roles_friend WITH GRANT OPTION".encode()
                )
            assert bootstrap(session, "jobmon").changed is True
            assert others_rights(session) == []
            # what the site may give away remains given
            assert value(session, "SELECT has_table_privilege('roles_friend', 'jobmon.job_log', 'DELETE')")
            assert bootstrap(session, "jobmon").changed is False
            session.execute("GRANT TRIGGER ON jobmon.job_log TO roles_friend")
            with pytest.raises(BootstrapError, match="right of roles_friend to make triggers on job_log is not"):
                bootstrap(session, "jobmon")
        finally:
            drop(session, "roles_friend")


GRANTS = (
    "SELECT ON ALL TABLES IN SCHEMA jobmon",
    "SELECT (password) ON jobmon.link",
    "EXECUTE ON ALL FUNCTIONS IN SCHEMA jobmon",
)


@pytest.mark.parametrize("grant", GRANTS)
def test_a_right_that_is_the_owners_alone_is_noticed_and_revoked(session: psycopg.Connection, grant: str) -> None:
    """For the first, --check leaves it, and a bootstrap after the one that has revoked it changes nothing."""
    bootstrap(session, "jobmon")
    session.execute("CREATE ROLE roles_friend; CREATE ROLE roles_other")
    try:
        session.execute(f"GRANT {grant} TO roles_friend WITH GRANT OPTION".encode())
        session.execute("GRANT USAGE ON SCHEMA jobmon TO roles_friend; SET ROLE roles_friend")
        session.execute(f"GRANT {grant} TO roles_other; RESET ROLE".encode())
        granted = others_rights(session)
        assert {right.partition(" ")[0] for right in granted} == {"roles_friend", "roles_other"}
        if grant == GRANTS[0]:
            assert bootstrap(session, "jobmon", check=True).changed is True
            assert others_rights(session) == granted
        assert bootstrap(session, "jobmon").changed is True
        assert others_rights(session) == []
        if grant == GRANTS[0]:
            assert bootstrap(session, "jobmon").changed is False
    finally:
        drop(session, "roles_friend", "roles_other")


def test_no_roles_makes_none_and_says_what_to_run(empty_database: Database) -> None:
    done = empty_database.ctl("bootstrap", "--schema", "rolefree", "--no-roles")
    assert (done.status, done.stderr) == (0, "")
    with empty_database.connect() as session:
        assert (
            value(session, "SELECT count(*) FROM pg_roles WHERE rolname IN ('rolefree_log', 'rolefree_monitor')") == 0
        )
        statements = done.stdout.partition("to make them by hand, run: ")[2].strip()
        assert "GRANT pg_monitor TO rolefree_monitor" in statements
        session.execute(statements.encode())
        session.execute("CREATE ROLE rolefree_member LOGIN IN ROLE rolefree_log, rolefree_monitor")
        with empty_database.connect(user="rolefree_member") as caller:
            assert value(caller, "SELECT rolefree.sql_job('etl', 'SELECT')").endswith("was successful")
            assert value(caller, "SELECT job_name FROM rolefree.show_job('etl')") == "ETL"
        # what was done by hand is what bootstrap would have done
        assert bootstrap(session, "rolefree").changed is False
        names = ", ".join(f"rolefree_{suffix}" for suffix in ROLES)
        session.execute(f"DROP ROLE rolefree_member; DROP OWNED BY {names}; DROP ROLE {names}".encode())


def test_who_may_not_make_roles_is_told_what_to_do(
    database: Database, session: psycopg.Connection, logger: str
) -> None:
    message = r'may not create the role "nowhere_log": ask .*--no-roles'
    with (
        database.connect(user=logger) as like,
        pinned(like) as powerless,
        powerless.transaction(),
        pytest.raises(BootstrapError, match=message),
    ):
        ensure_roles(powerless, "nowhere")


def test_dblink_mapping_has_at_most_one_row(session: psycopg.Connection) -> None:
    session.execute("INSERT INTO jobmon.dblink_mapping (username) VALUES ('a')")
    with pytest.raises(errors.UniqueViolation, match="dblink_mapping_one_row"):
        session.execute("INSERT INTO jobmon.dblink_mapping (username) VALUES ('b')")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"username": "nobody_there"}, 'role "nobody_there" does not exist'),
        ({"port": "1"}, "Connection refused"),
        ({"port": "x'y\\"}, 'invalid integer value "x\'y\\"'),
        ({"host": "/nowhere"}, "No such file or directory"),
    ],
)
def test_a_wrong_mapping_gives_an_error_that_names_it(
    session: psycopg.Connection, mapping: dict[str, str], message: str
) -> None:
    if "port" in mapping:
        mapping = {**mapping, "host": "127.0.0.1"}
    columns, values = ", ".join(mapping), list(mapping.values())
    placeholders = ", ".join(["%s"] * len(values))
    session.execute(f"INSERT INTO jobmon.dblink_mapping ({columns}) VALUES ({placeholders})".encode(), values)
    with pytest.raises(errors.SqlclientUnableToEstablishSqlconnection) as refused:
        session.execute("SELECT jobmon.add_job('etl')")
    said = refused.value.diag
    assert (said.message_primary or "").startswith("the job log's link can't connect as jobmon.dblink_mapping says: ")
    assert message in (said.message_primary or "")
    assert "jobmon.dblink_mapping" in (said.message_hint or "")


def test_the_mappings_role_gets_what_the_link_needs_and_a_member_of_the_links_own_is_seen_in_every_run(
    session: psycopg.Connection,
) -> None:
    password = r"it's a \ secret"
    session.execute("CREATE ROLE roles_mapped LOGIN")
    session.execute("INSERT INTO jobmon.dblink_mapping (username, pwd) VALUES ('roles_mapped', %s)", [password])
    with pytest.raises(errors.InsufficientPrivilege):
        session.execute("SELECT jobmon.add_job('etl')")
    session.execute("SELECT jobmon_dblink.dblink_disconnect('jobmon_link')")
    report = bootstrap(session, "jobmon")
    assert report.changed is True
    assert report.link == 'the link works, as role "roles_mapped"'
    session.execute("SELECT jobmon.close_job(jobmon.add_job('etl'))")
    assert session.execute("SELECT owner, status FROM jobmon.job_log").fetchall() == [("postgres", "OK")]
    role = value(session, "SELECT role_name::text FROM jobmon.link")
    session.execute(f"CREATE ROLE roles_intruder; GRANT {role} TO roles_intruder".encode())
    try:
        with pytest.raises(BootstrapError, match=f'role "{role}" exists already and has the member "roles_intruder"'):
            bootstrap(session, "jobmon")
    finally:
        session.execute("DROP ROLE roles_intruder")
    assert bootstrap(session, "jobmon").changed is False
    session.execute("DROP OWNED BY roles_mapped; DROP ROLE roles_mapped")


PREPARED = {
    "may log in": "CREATE ROLE taken_log LOGIN",
    "a superuser": "CREATE ROLE taken_monitor SUPERUSER",
    "may make roles": "CREATE ROLE taken_log CREATEROLE CREATEDB",
    "its settings": "CREATE ROLE taken_log; ALTER ROLE taken_log SET search_path = evil",
    "its settings here": "CREATE ROLE taken_log; ALTER ROLE taken_log IN DATABASE {} SET role = 'postgres'",
    "a member of others": "CREATE ROLE taken_monitor IN ROLE pg_signal_backend",
    "its member": "SET ROLE roles_intruder; CREATE ROLE taken_log; GRANT taken_log TO roles_intruder; RESET ROLE",
    "its administrator": "CREATE ROLE taken_monitor ADMIN roles_intruder",
    "who made it": "SET ROLE roles_intruder; CREATE ROLE taken_log; RESET ROLE",
    "the link's member": "CREATE ROLE taken_link_{} LOGIN ROLE roles_intruder",
    "the link's administrator": "CREATE ROLE taken_link_{} LOGIN ADMIN roles_intruder",
    "what the link is a member of": "CREATE ROLE taken_link_{} LOGIN IN ROLE pg_monitor",
}


@pytest.mark.parametrize("prepared", PREPARED)
def test_a_role_that_somebody_made_beforehand_is_refused_until_it_is_put_right(
    empty_database: Database, prepared: str
) -> None:
    """Every second role is refused with --check instead. For the first, another bootstrap then finds nothing to change."""
    with empty_database.connect() as session:
        if prepared == "who made it" and session.info.server_version < 160000:
            pytest.skip("before PostgreSQL 16, who makes a role has no more rights over it than any CREATEROLE")
        oid = value(session, "SELECT oid FROM pg_database WHERE datname = current_database()")
        session.execute("CREATE ROLE roles_intruder CREATEROLE")
        statement = PREPARED[prepared].replace("DATABASE {}", f"DATABASE {empty_database.name}").format(oid)
        session.execute(statement.encode())
        number = [*PREPARED].index(prepared)
        try:
            with pytest.raises(BootstrapError) as refused:
                bootstrap(session, "taken", check=number % 2 == 1)
            assert 'role "taken_' in str(refused.value)
            assert " exists already and " in str(refused.value)
            assert "\n" not in str(refused.value)
            assert value(session, "SELECT to_regnamespace('taken')") is None
            session.execute(str(refused.value).partition("superuser run ")[2].partition("; or do without")[0].encode())
            assert bootstrap(session, "taken").changed is True
            if not number:
                assert bootstrap(session, "taken").changed is False
        finally:
            drop(session, "taken_log", "taken_monitor", f"taken_link_{oid}", "roles_intruder")


def test_the_members_that_a_superuser_granted_are_left_alone(empty_database: Database) -> None:
    """As in a database that was dropped and made again: the roles, which are the cluster's, are what remains of it."""
    with empty_database.connect() as session:
        session.execute("CREATE ROLE shared_log; CREATE ROLE roles_member; GRANT shared_log TO roles_member")
        session.execute("CREATE ROLE roles_maker CREATEROLE")
        try:
            assert bootstrap(session, "shared").changed is True
            session.execute("DROP SCHEMA shared CASCADE")
            if session.info.server_version >= 160000:
                session.execute("GRANT shared_log TO roles_maker WITH ADMIN OPTION")
            session.execute(
                "CREATE ROLE roles_friend; SET ROLE roles_maker; GRANT shared_log TO roles_friend; RESET ROLE"
            )
            with pytest.raises(
                BootstrapError, match=r'role "shared_log" exists already .*has the member "roles_friend"'
            ) as refused:
                bootstrap(session, "shared")
            # the administrator is refused as well, from PostgreSQL 16 on, where there is one; the member never is
            assert "roles_member" not in str(refused.value)
            administers = 'has the member "roles_maker", who administers it'
            assert (administers in str(refused.value)) == (session.info.server_version >= 160000)
        finally:
            drop(session, "shared_log", "shared_monitor", "roles_member", "roles_friend", "roles_maker")


def test_a_role_that_somebody_made_after_an_installation_without_roles_is_refused(empty_database: Database) -> None:
    with empty_database.connect() as session:
        bootstrap(session, "later", with_roles=False)
        # what PUBLIC may do makes no difference
        session.execute("GRANT USAGE ON SCHEMA later TO PUBLIC; CREATE ROLE roles_intruder CREATEROLE")
        try:
            for name in ("later_log", "later_monitor"):
                session.execute("SET ROLE roles_intruder")
                session.execute(f"CREATE ROLE {name}; CREATE ROLE roles_friend IN ROLE {name}; RESET ROLE".encode())
                with pytest.raises(BootstrapError, match=f'role "{name}" exists already and has the member "roles_'):
                    bootstrap(session, "later")
                session.execute(f"DROP ROLE {name}, roles_friend".encode())
            assert bootstrap(session, "later").changed is True
        finally:
            session.execute("RESET ROLE")
            drop(session, "later_log", "later_monitor", "roles_friend", "roles_intruder")
