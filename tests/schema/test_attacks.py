"""Attackers in each role, and what they don't gain."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql

from check_jobmon.demo.server import Server
from check_jobmon.schema.roles import TABLES
from tests.database import Database, bootstrap, value
from tests.schema.conftest import let_all_use_the_link
from tests.schema.sessions import until

LOGGER, MONITOR, NOBODY = "attacker_log", "attacker_monitor", "attacker_nobody"
READER, ADMIN = "attacker_read", "attacker_admin"

FOR_ALL = ("check_schedule(text, text)", "next_run(text, text, timestamp with time zone)")
"""What all roles of bootstrap may execute."""

LOGGING = (
    *FOR_ALL,
    "add_job(text)",
    "add_past_run(uuid, text, timestamp with time zone, timestamp with time zone, integer, text, text, bigint, integer)",
    "add_step(bigint, text)",
    "cancel_job(bigint)",
    "cancel_job_backend(bigint)",
    "cancel_job_note(bigint)",
    "claim_job(bigint,text,integer)",
    "close_job(bigint)",
    "fail_job(bigint, integer)",
    "lock_job(bigint)",
    "sql_job(text, text)",
    "sql_job(text, text, boolean)",
    "sql_run(bigint, text, text, boolean)",
    "sql_step(bigint, text, text)",
    "status_text(integer)",
    "update_step(bigint, text, text)",
)
"""What jobmon_log may execute. Not job_log_clear(): it deletes the runs of others."""

MONITORING = (
    *FOR_ALL,
    "check_job_status()",
    "check_jobs()",
    "job_runs(text, integer)",
    "show_detail(bigint)",
    "show_detail(text, integer)",
    "show_job(text, integer)",
    "show_job_like(text, integer)",
    "show_job_status(text, integer)",
    "show_job_status(text, text, integer)",
    "show_running(integer)",
)
"""What jobmon_monitor and jobmon_read may execute."""

ADMINISTERING = (
    *(
        "ack_crash(bigint)",
        "cancel_job_as_owner(bigint)",
        "job_log_clear(interval)",
        "job_log_kept()",
        "job_log_kept_before(timestamp with time zone)",
    ),
    "silence(text, timestamp with time zone, text, timestamp with time zone, boolean)",
    "unsilence(bigint)",
)
"""What jobmon_admin may execute besides."""

OWN = ("SELECT job_status_text", "SELECT own_runs", "SELECT own_steps")
"""What jobmon_log may do with tables and views."""

LINK_ROUTINES = ("link_answer(text, bytea)", "link_serve(text, bytea)")
"""What the link's role may execute."""

LOOK_ALIKES = """
    CREATE SCHEMA evil;
    GRANT USAGE ON SCHEMA evil TO PUBLIC;
    CREATE TABLE evil.job_log (job_id bigint, job_name text, pid integer);
    CREATE TABLE evil.job_status_text (alert_code integer, alert_text text);
    DO $do$
    DECLARE
        r record;
    BEGIN
        FOR r IN SELECT p.oid, p.proname, pg_get_function_identity_arguments(p.oid) AS arguments,
                        p.prorettype::regtype AS result
                   FROM pg_proc AS p
                  WHERE p.pronamespace = 'pg_catalog'::regnamespace
                    AND p.prokind = 'f'
                    AND NOT p.proretset
                    AND p.proargmodes IS NULL
                    AND p.proname IN ('upper', 'hashtextextended', 'current_setting', 'set_config', 'pg_backend_pid',
                                      'pg_try_advisory_lock', 'pg_advisory_unlock', 'pg_cancel_backend', 'length',
                                      'now', 'clock_timestamp', 'btrim', 'starts_with', 'sha256', 'encode')
        LOOP
            EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS $$BEGIN RAISE ''trapped''; END$$',
                           r.proname, r.arguments, r.result);
        END LOOP;
        FOR r IN SELECT o.oid, o.oprname, o.oprleft::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS result
                   FROM pg_operator AS o
                   JOIN pg_type AS t ON t.oid = o.oprleft
                   JOIN pg_type AS u ON u.oid = o.oprright
                  WHERE o.oprnamespace = 'pg_catalog'::regnamespace
                    AND o.oprname IN ('=', '<>', '<', '>', '||', '~', '+', '-')
                    AND t.typtype = 'b' AND u.typtype = 'b'
                    AND t.typname IN ('text', 'name', 'int4', 'int8', 'bool', 'timestamptz', 'interval', 'oid')
        LOOP
            EXECUTE format('CREATE FUNCTION evil.o%s(%s, %s) RETURNS %s LANGUAGE plpgsql'
                           ' AS $$BEGIN RAISE ''trapped''; END$$', r.oid, r.l, r.r, r.result);
            EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.o%s, LEFTARG = %s, RIGHTARG = %s)',
                           r.oprname, r.oid, r.l, r.r);
        END LOOP;
    END
    $do$;
    CREATE FUNCTION evil.format(text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
    CREATE FUNCTION evil.format(text, bigint) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
    CREATE FUNCTION evil.format(text, text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
    CREATE FUNCTION evil.format(text, bigint, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
    CREATE FUNCTION evil.add_step(bigint, text) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
    CREATE FUNCTION evil.link_call(text, text[]) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
    CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.format(VALUE, VALUE) IS NOT NULL);
"""


@pytest.fixture(scope="module", autouse=True)
def _roles(server: Server, template: str) -> Iterator[None]:
    with Database(server, "postgres").connect() as session:
        session.execute(
            f"CREATE ROLE {NOBODY} LOGIN; CREATE ROLE {LOGGER} LOGIN IN ROLE jobmon_log;"
            f"CREATE ROLE {MONITOR} LOGIN IN ROLE jobmon_monitor; CREATE ROLE {READER} LOGIN IN ROLE jobmon_read;"
            f"CREATE ROLE {ADMIN} LOGIN IN ROLE jobmon_admin".encode()
        )
        yield
        session.execute(f"DROP ROLE {NOBODY}, {LOGGER}, {MONITOR}, {READER}, {ADMIN}".encode())


@pytest.fixture
def own_link(empty_database: Database) -> Database:
    """As `public_dblink`, with a role of the link's own that a test may spoil."""
    let_all_use_the_link(empty_database)
    return empty_database


def test_nobody_has_more_rights_than_meant(session: psycopg.Connection) -> None:
    bootstrap(session, "jobmon")
    link_role = value(session, "SELECT role_name::text FROM jobmon.link")
    functions = """
        SELECT array_agg(p.oid::regprocedure::text ORDER BY p.oid::regprocedure::text)
          FROM pg_proc AS p
         WHERE p.pronamespace = 'jobmon'::regnamespace AND has_function_privilege(%s, p.oid, 'EXECUTE')
    """
    relations = """
        SELECT array_agg(DISTINCT concat_ws(' ', privilege, c.relname))
          FROM pg_class AS c,
               unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
         WHERE c.relnamespace = 'jobmon'::regnamespace AND c.relkind IN ('r', 'p', 'v')
           AND has_table_privilege(%s, c.oid, privilege)
    """
    reads = tuple(f"SELECT {name}" for name in TABLES)
    changes = ("DELETE job_check_config", "INSERT job_check_config", "UPDATE job_check_config", "DELETE job_check_log")
    for role, may_call, may_use in (
        ("public", (), ()),
        (NOBODY, (), ()),
        (LOGGER, LOGGING, OWN),
        (MONITOR, MONITORING, reads),
        (READER, MONITORING, reads),
        (ADMIN, {*ADMINISTERING, *LOGGING, *MONITORING}, {*reads, *changes, *OWN}),
        (link_role, LINK_ROUTINES, ()),
    ):
        expected = sorted(f"jobmon.{name.replace(', ', ',')}" for name in may_call)
        assert sorted(value(session, functions, role) or []) == expected, role
        assert sorted(value(session, relations, role) or []) == sorted(may_use), role
    for role in (NOBODY, LOGGER, MONITOR, READER, ADMIN, link_role):
        assert value(session, "SELECT has_schema_privilege(%s, 'jobmon', 'CREATE')", role) is False
    sequences = "SELECT bool_or(has_sequence_privilege('public', oid, 'USAGE')) FROM pg_class WHERE relkind = 'S'"
    assert value(session, sequences) is False


def test_every_function_pins_its_search_path_but_internal_ones_and_those_that_run_the_callers_statement(
    session: psycopg.Connection,
) -> None:
    unpinned = session.execute(
        "SELECT proname, prosecdef FROM pg_proc WHERE pronamespace = 'jobmon'::regnamespace"
        " AND NOT coalesce('search_path=pg_catalog, jobmon, pg_temp' = ANY (proconfig), false) ORDER BY 1"
    ).fetchall()
    internal = ("bounded_text", "bounded_text", "link_call", "link_close")
    assert unpinned == [(name, False) for name in (*internal, "sql_job", "sql_job", "sql_run", "sql_step")]


def test_look_alikes_in_the_search_path_are_never_called(database: Database, session: psycopg.Connection) -> None:
    """The victim is the superuser: what a look-alike does, it would do as that."""
    session.execute(LOOK_ALIKES)
    with database.connect() as victim, database.connect() as runner:
        other = value(runner, "SELECT jobmon.add_job('other')")
        victim.execute("SET search_path = evil, pg_catalog")
        with pytest.raises(errors.RaiseException, match="trapped"):
            victim.execute("SELECT 1 = 1")
        job = value(victim, "SELECT jobmon.add_job('etl')")
        step = value(victim, "SELECT jobmon.add_step(%s, 'load')", job)
        victim.execute("SELECT jobmon.update_step(%s, 'OK', 'done')", [step])
        assert value(victim, "SELECT jobmon.sql_step(%s, 'good', 'SELECT')", job) is True
        assert value(victim, "SELECT jobmon.sql_step(%s, 'bad', 'SELEC')", job) is False
        victim.execute("SELECT jobmon.close_job(%s)", [job])
        assert value(victim, "SELECT jobmon.sql_job('good', 'SELECT')").endswith("(GOOD) was successful")
        assert value(victim, "SELECT jobmon.sql_job('bad', 'SELEC')").endswith("(BAD) failed")
        nested = "SELECT jobmon.sql_job('nested', 'SELECT')"
        assert value(victim, "SELECT jobmon.sql_job('nested', %s)", nested).endswith("(NESTED) was successful")
        victim.execute("SELECT jobmon.fail_job(jobmon.add_job('failed'))")
        assert value(victim, "SELECT jobmon.cancel_job(%s)", other) is True
        victim.execute("SELECT jobmon.job_log_clear('1 day')")
        for call in (
            "show_job('etl')",
            "show_job_like('etl')",
            "show_job_status('OK')",
            "show_job_status('etl', 'OK')",
            f"show_detail({job})",
            "show_detail('etl')",
            "show_running()",
            "check_job_status()",
            "check_jobs()",
        ):
            victim.execute(f"SELECT * FROM jobmon.{call}".encode())
        victim.execute(
            "UPDATE jobmon.job_status_text SET alert_text = 'FUBAR' WHERE alert_code OPERATOR(pg_catalog.=) 3"
        )
    trapped = "SELECT count(*) FROM jobmon.job_detail WHERE message LIKE '%%trapped%%'"
    assert value(session, trapped) == 0


def test_temporary_look_alikes_are_never_used(database: Database, session: psycopg.Connection) -> None:
    with database.connect(user=LOGGER) as attacker:
        attacker.execute(
            """
            CREATE TEMPORARY TABLE job_log (job_id bigint, job_name text, end_time timestamptz, pid integer);
            CREATE TEMPORARY TABLE job_detail (job_id bigint, step_id bigint);
            CREATE TEMPORARY TABLE job_status_text (alert_code integer, alert_text text);
            INSERT INTO job_status_text VALUES (1, 'pg_temp'), (3, 'pg_temp');
            CREATE TEMPORARY TABLE link (role_name name, password text, over text);
            INSERT INTO link VALUES ('postgres', '', 'socket');
            CREATE TEMPORARY SEQUENCE link_key_1;
            CREATE TEMPORARY SEQUENCE link_key_2;
            CREATE TEMPORARY TABLE dblink_mapping (username text, port text, pwd text, host text);
            INSERT INTO dblink_mapping VALUES ('postgres', NULL, '', NULL);
            CREATE FUNCTION pg_temp.link_do(text[]) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
            SET search_path = pg_temp, pg_catalog
            """
        )
        assert value(attacker, "SELECT jobmon.sql_job('etl', 'SELECT')").endswith("was successful")
        job = value(attacker, "SELECT jobmon.add_job('etl')")
        link = "SELECT usename FROM pg_stat_activity WHERE application_name = %s"
        assert value(session, link, f"jobmon link of {attacker.info.backend_pid}").startswith("jobmon_link_")
        attacker.execute("SELECT jobmon.fail_job(%s)", [job])
    assert session.execute("SELECT owner, status FROM jobmon.job_log ORDER BY job_id").fetchall() == [
        (LOGGER, "OK"),
        (LOGGER, "CRITICAL"),
    ]


UGLY = [
    "x'); DELETE FROM jobmon.job_log; --",
    "\\'); DELETE FROM jobmon.job_log; --",
    "\\",
    "'",
    "''\\''\\\\",
    "$$ $1 %s %L %% {}",
    "a\nb\tc\r",
    'quote " quote',
    "ä€😀 \u202e",
]


@pytest.mark.parametrize("conforming", ["on", "off"])
@pytest.mark.parametrize("ugly", UGLY)
def test_quotes_and_backslashes_are_logged_as_they_are(
    database: Database, session: psycopg.Connection, ugly: str, conforming: str
) -> None:
    with database.connect(user=LOGGER) as caller:
        if caller.info.server_version < 190000:
            caller.execute(f"SET standard_conforming_strings = {conforming}; SET escape_string_warning = off".encode())
        job = value(caller, "SELECT jobmon.add_job(%s)", ugly)
        step = value(caller, "SELECT jobmon.add_step(%s, %s)", job, ugly)
        caller.execute("SELECT jobmon.update_step(%s, %s, %s)", [step, ugly, ugly])
        assert value(caller, "SELECT jobmon.sql_step(%s, %s, %s)", job, ugly, ugly) is False
        caller.execute("SELECT jobmon.fail_job(%s)", [job])
        assert value(caller, "SELECT jobmon.sql_job(%s, %s)", ugly, ugly).endswith(" failed")
    runs = session.execute("SELECT job_name, owner, status FROM jobmon.job_log ORDER BY job_id").fetchall()
    assert runs == [(value(session, "SELECT upper(%s)", ugly), LOGGER, "CRITICAL")] * 2
    logged = session.execute("SELECT action, status, message FROM jobmon.job_detail ORDER BY step_id").fetchall()
    assert logged[0] == (ugly, ugly, ugly)
    assert logged[1][0] == ugly
    assert value(session, "SELECT job_name FROM jobmon.show_job(%s, 1)", ugly) == runs[0][0]
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 2


STATEMENTS_BEYOND_THE_LINKS_ROLE = [
    "TABLE jobmon.link",
    "TABLE jobmon.dblink_mapping",
    "TABLE jobmon.job_log",
    "DELETE FROM jobmon.job_log",
    "UPDATE jobmon.job_check_config SET active = false",
    "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid) VALUES ('postgres', 'FORGED', now(), 1)",
    "SELECT jobmon.link_do('{ping,x,1,0,0}')",
    "SELECT jobmon.link_conninfo()",
    "SELECT jobmon.link_call('ping', '{}')",
    "SELECT jobmon.add_job('x')",
    "SELECT jobmon.job_log_clear('0')",
    "SELECT jobmon.cancel_job_note(1)",
    "SELECT jobmon.link_add_job('{add_job,postgres,1,0,0,4711,FORGED}')",
    "SELECT jobmon.link_cancel_job('{cancel_job,postgres,1,0,0,1}')",
    "SELECT jobmon.link_clear('{clear,postgres,1,0,0,1,2999-01-01,0,1000000}')",
    "SELECT jobmon.link_refuse()",
    "CREATE TABLE jobmon.mine ()",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine SUPERUSER",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "SET track_activities = on",
    "ALTER ROLE current_user SUPERUSER",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('postgresql.conf')",
    "TABLE pg_authid",
]


def over_the_link(session: psycopg.Connection, statement: str) -> list[tuple[object, ...]]:
    """What a session gets that sends a statement over its open link."""
    query = "SELECT * FROM public.dblink('jobmon_link', %s) AS t(answer text)"
    if not statement.startswith(("SELECT", "TABLE")):
        query = "SELECT public.dblink_exec('jobmon_link', %s)"
    return session.execute(query.encode(), [statement]).fetchall()


def test_an_open_link_lends_no_rights(public_dblink: Database) -> None:
    with public_dblink.connect(user=NOBODY) as attacker, public_dblink.connect() as session:
        job = value(attacker, "SELECT public.report()")
        before = session.execute("SELECT * FROM jobmon.job_log").fetchall()
        assert over_the_link(attacker, "SELECT current_setting('is_superuser')") == [("off",)]
        for statement in STATEMENTS_BEYOND_THE_LINKS_ROLE:
            # 42501 is what it must be, and not a mistake in the statement
            with pytest.raises(errors.InsufficientPrivilege):
                over_the_link(attacker, statement)
        assert session.execute("SELECT * FROM jobmon.job_log").fetchall() == before
        assert before[0][:3] == (job, NOBODY, "REPORT")


def test_a_link_does_not_show_what_others_log(public_dblink: Database) -> None:
    with public_dblink.connect(user=NOBODY) as attacker, public_dblink.connect() as victim:
        value(attacker, "SELECT public.report()")
        job = value(victim, "SELECT jobmon.add_job('etl')")
        victim.execute("SELECT jobmon.add_step(%s, 'a secret of theirs')", [job])
        seen = over_the_link(
            attacker,
            "SELECT string_agg(coalesce(query, ''), '') FROM pg_stat_activity WHERE application_name LIKE 'jobmon link of %'",
        )
        assert seen == [("",)]
        assert over_the_link(attacker, "SELECT count(*)::text FROM pg_stat_activity WHERE usename = current_user") == [
            ("2",)
        ]


@pytest.fixture
def link_needs_password(own_link: Database) -> Iterator[Database]:
    """`own_link`, where the link's role has to give its password, unlike others of the test server."""
    hba = own_link.server.data / "pg_hba.conf"
    before = hba.read_text()
    with own_link.connect() as session:
        role = value(session, "SELECT role_name::text FROM jobmon.link")
        where = f"{own_link.name} {role}"
        hba.write_text(f"local {where} scram-sha-256\nhost {where} 127.0.0.1/32 scram-sha-256\n{before}")
        session.execute("SELECT pg_reload_conf()")
        end = time.monotonic() + 20
        with contextlib.suppress(psycopg.OperationalError):
            while time.monotonic() < end:
                own_link.connect(user=role, password="wrong").close()
                time.sleep(0.02)
        yield own_link
        hba.write_text(before)
        session.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    "sabotage",
    [
        "ALTER ROLE current_user PASSWORD 'mine'",
        "ALTER ROLE current_user SET default_transaction_read_only = on",
        "ALTER ROLE current_user IN DATABASE {} SET default_transaction_read_only = on",
    ],
)
def test_bootstrap_repairs_what_a_link_did_to_its_own_role(link_needs_password: Database, sabotage: str) -> None:
    """PostgreSQL lets every role do that to itself, and dblink lets every user of the session be the link's role."""
    with link_needs_password.connect(user=NOBODY) as attacker, link_needs_password.connect() as session:
        value(attacker, "SELECT public.report()")
        over_the_link(attacker, sabotage.format(link_needs_password.name))
        with pytest.raises(psycopg.Error):
            session.execute("SELECT jobmon.add_job('etl')")
        assert bootstrap(session, "jobmon").changed is True
        assert bootstrap(session, "jobmon").changed is False
    with link_needs_password.connect() as session:
        assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT')").endswith("was successful")


def test_a_link_can_not_take_away_the_rights_of_its_role(own_link: Database) -> None:
    with own_link.connect(user=NOBODY) as attacker, own_link.connect() as session:
        value(attacker, "SELECT public.report()")
        over_the_link(attacker, "DROP OWNED BY current_user")
        assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT')").endswith("was successful")


def test_without_rights_dblink_can_not_even_be_called(database: Database) -> None:
    for role in (NOBODY, LOGGER, MONITOR):
        with database.connect(user=role) as attacker, pytest.raises(errors.InsufficientPrivilege):
            attacker.execute("SELECT jobmon_dblink.dblink_get_connections()")


@pytest.mark.parametrize(
    "statement",
    [
        "SET ROLE postgres",
        "SET SESSION AUTHORIZATION postgres",
        "RESET ROLE; TABLE jobmon.link",
        "TABLE jobmon.link",
        "CREATE TABLE jobmon.mine ()",
        "SELECT jobmon.link_conninfo()",
        "SELECT jobmon.link_call('ping', '{}')",
        f"ALTER ROLE {LOGGER} SUPERUSER",
        "SELECT set_config('role', 'postgres', false)",
    ],
)
def test_sql_step_and_sql_job_run_nothing_with_more_rights_than_the_callers(
    database: Database, session: psycopg.Connection, statement: str
) -> None:
    with database.connect(user=LOGGER) as attacker:
        job = value(attacker, "SELECT jobmon.add_job('x')")
        assert value(attacker, "SELECT jobmon.sql_step(%s, 'x', %s)", job, statement) is False
        assert value(attacker, "SELECT jobmon.sql_job('x', %s)", statement).endswith(" failed")
        assert value(attacker, "SELECT current_user::text") == LOGGER
    messages = session.execute("SELECT message FROM jobmon.job_detail").fetchall()
    assert [message[-7:] for (message,) in messages] == ["[42501]"] * 2


def test_the_statement_of_sql_step_runs_as_the_role_that_was_set(
    database: Database, session: psycopg.Connection
) -> None:
    """Also in a SECURITY DEFINER function, where it is that function's owner."""
    who = "CREATE TEMPORARY TABLE who AS SELECT current_user::text AS name"
    session.execute(f"SET ROLE {LOGGER}".encode())
    job = value(session, "SELECT jobmon.add_job('x')")
    assert value(session, "SELECT jobmon.sql_step(%s, 'x', %s)", job, who) is True
    session.execute("RESET ROLE")
    assert value(session, "SELECT name FROM who") == LOGGER
    assert value(session, "SELECT owner FROM jobmon.job_log") == LOGGER


def test_the_owner_can_not_be_forged(database: Database, session: psycopg.Connection) -> None:
    with database.connect(user=LOGGER) as attacker:
        for attempt in ("SET ROLE postgres", "SET SESSION AUTHORIZATION postgres", f"SET ROLE {MONITOR}"):
            with pytest.raises(errors.InsufficientPrivilege):
                attacker.execute(attempt.encode())
        attacker.execute("SET application_name = 'postgres'; SET ROLE none; SET search_path = pg_temp, jobmon")
        attacker.execute(
            "CREATE FUNCTION pg_temp.log_as() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS"
            " 'SELECT jobmon.add_job(''x'')'; SELECT pg_temp.log_as()"
        )
    assert value(session, "SELECT owner FROM jobmon.job_log") == LOGGER


def secrets_of(session: psycopg.Connection) -> list[str]:
    """The link's secrets in every spelling that PostgreSQL may print them in."""
    password = str(value(session, "SELECT password FROM jobmon.link"))
    raw = password.encode()
    # a constant in a printed plan: signed bytes
    found = [password, raw.hex(), " ".join(str(byte - 256 if byte > 127 else byte) for byte in raw)]
    for half in (1, 2):
        number = int(value(session, f"SELECT last_value FROM jobmon.link_key_{half}"))
        key = number.to_bytes(8, "little", signed=True)
        found += [str(number), " ".join(str(byte - 256 if byte > 127 else byte) for byte in key), key[::-1].hex()]
    return found


def shown(secrets: list[str], text: str) -> list[str]:
    """Those of the secrets that are in the text, which may be wrapped anywhere, as printed plans are."""
    dense = "".join(text.split())
    return [secret for secret in secrets if "".join(secret.split()) in dense]


def test_no_message_of_the_server_shows_the_secret(database: Database, session: psycopg.Connection) -> None:
    secrets = secrets_of(session)
    seen: list[str] = []
    with database.connect(user=LOGGER) as attacker:
        attacker.add_notice_handler(
            lambda notice: seen.extend(filter(None, [notice.message_primary, notice.message_detail, notice.context]))
        )
        attacker.execute(
            "SET client_min_messages = debug5; SET debug_print_plan = on; SET debug_print_parse = on;"
            "SET debug_print_rewritten = on; SET debug_pretty_print = off; SET plan_cache_mode = force_custom_plan;"
            "SET jobmon.keep_link = off"
        )
        for _ in range(2):
            assert value(attacker, "SELECT jobmon.sql_job('x', 'SELECT 1 / 0')").endswith("failed")
        session.execute("INSERT INTO jobmon.dblink_mapping (port, host) VALUES ('1', '127.0.0.1')")
        with pytest.raises(errors.SqlclientUnableToEstablishSqlconnection) as refused:
            attacker.execute("SELECT jobmon.add_job('x')")
        seen.append(str(refused.value.diag.message_primary) + str(refused.value.diag.context))
    text = "\n".join(seen)
    assert "PLANNEDSTMT" in text
    assert "Connection refused" in text
    assert shown(secrets, text) == []


def test_no_log_of_the_server_shows_the_secret(empty_database: Database) -> None:
    log = Path(empty_database.server.folder, "log")
    start = log.stat().st_size
    with empty_database.connect() as session:
        for setting in (
            "log_statement = 'all'",
            "log_min_duration_statement = 0",
            "log_min_error_statement = 'debug5'",
            "log_min_messages = 'debug1'",
            "log_error_verbosity = 'verbose'",
            "debug_print_plan = on",
        ):
            session.execute(f"ALTER DATABASE {empty_database.name} SET {setting}".encode())
    with empty_database.connect() as session, empty_database.connect(user=LOGGER) as attacker:
        bootstrap(session, "jobmon")
        # else nothing of the link's sessions is logged
        link = value(session, "SELECT role_name::text FROM jobmon.link")
        session.execute(f"ALTER ROLE {link} SET log_min_messages = 'debug1'".encode())
        attacker.execute("SET jobmon.keep_link = off")
        value(attacker, "SELECT jobmon.sql_job('x', 'SELECT 1 / 0')")
        with pytest.raises(errors.NoDataFound):
            attacker.execute("SELECT jobmon.close_job(4711)")
        attacker.execute("SELECT jobmon.fail_job(jobmon.add_job('a marker'))")
        session.execute("SET log_statement = none; SET log_min_duration_statement = -1; SET debug_print_plan = off")
        session.execute(
            "INSERT INTO jobmon.dblink_mapping (username, pwd) VALUES ('nobody_there', 'the mapping''s pwd')"
        )
        with pytest.raises(errors.SqlclientUnableToEstablishSqlconnection):
            attacker.execute("SELECT jobmon.add_job('x')")
        # read it without a log of the reading
        secrets = [*secrets_of(session), "the mapping's pwd"]
    with log.open(encoding="utf-8", errors="replace") as file:
        file.seek(start)
        text = file.read()
    assert "link_add_job(" in text
    assert "nobody_there" in text
    assert "PLANNEDSTMT" in text
    assert shown(secrets, text) == []


@pytest.mark.parametrize("role", [NOBODY, LOGGER, MONITOR])
def test_no_relation_shows_the_secret(public_dblink: Database, role: str) -> None:
    """Everything that the role may read, while its link is open."""
    with public_dblink.connect() as session, public_dblink.connect(user=role) as attacker:
        password, key = secrets_of(session)[0], secrets_of(session)[3]
        value(attacker, "SELECT public.report()")
        relations = attacker.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p')"
            " AND has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE')"
        ).fetchall()
        assert len(relations) > 100
        for (relation,) in relations:
            found = sql.SQL("SELECT count(*) FROM {} AS t WHERE t::text LIKE ANY (%s)").format(sql.SQL(relation))
            try:
                row = attacker.execute(found, [[f"%{password}%", f"%{key}%"]]).fetchone()
            except (errors.InsufficientPrivilege, errors.InternalError_):  # pg_shmem_allocations_numa on most machines
                continue
            assert row == (0,), relation


def test_an_attacker_who_takes_the_links_name_gains_nothing(public_dblink: Database) -> None:
    """A link that somebody has disconnected is opened anew, and not as whoever did so."""
    with public_dblink.connect(user=NOBODY) as attacker, public_dblink.connect() as session:
        value(attacker, "SELECT public.report()")
        attacker.execute("SELECT public.dblink_disconnect('jobmon_link')")
        value(attacker, "SELECT public.report()")
        link = "SELECT array_agg(usename::text) FROM pg_stat_activity WHERE application_name = %s"
        name = f"jobmon link of {attacker.info.backend_pid}"
        until(session, "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = %s", name)
        assert value(session, link, name) == [value(session, "SELECT role_name::text FROM jobmon.link")]
        assert value(session, "SELECT count(*) FROM jobmon.job_log") == 2


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO jobmon.dblink_mapping (username) VALUES ('postgres')",
        "INSERT INTO jobmon.dblink_mapping (username, host) VALUES ('postgres', '{}')",
        "UPDATE jobmon.link SET role_name = 'postgres', over = 'socket'",
        "INSERT INTO jobmon.dblink_mapping (username) VALUES ('attacks_member')",
    ],
)
def test_who_may_write_every_table_makes_no_superuser_of_the_link(public_dblink: Database, statement: str) -> None:
    """The server's own user often needs no password on the socket (peer), and the link would connect as that."""
    with public_dblink.connect() as session, public_dblink.connect(user=NOBODY) as attacker:
        if session.info.server_version < 140000:
            pytest.skip("PostgreSQL 13 has no pg_write_all_data")
        session.execute(
            f"GRANT pg_write_all_data TO {NOBODY}; CREATE ROLE attacks_member LOGIN IN ROLE postgres".encode()
        )
        try:
            attacker.execute(statement.format(public_dblink.server.folder).encode())
            with pytest.raises(errors.SqlclientUnableToEstablishSqlconnection, match=r'role ".*" is a superuser'):
                attacker.execute("SELECT public.report()")
        finally:
            session.execute(f"REVOKE pg_write_all_data FROM {NOBODY}; DROP ROLE attacks_member".encode())


@pytest.mark.parametrize("call", ["close_job", "fail_job", "cancel_job_note", "claim_job"])
def test_an_index_of_a_strangers_table_logs_nothing_as_the_superuser_who_analyzes_it(
    database: Database, session: psycopg.Connection, call: str
) -> None:
    """PostgreSQL executes an index's expression as the table's owner, but session_user is still the superuser."""
    with database.connect(user=MONITOR) as victim, database.connect(user=LOGGER) as attacker:
        session.execute(f"GRANT jobmon_log TO {MONITOR}; CREATE SCHEMA play AUTHORIZATION {LOGGER}".encode())
        job = value(victim, "SELECT jobmon.add_job('payroll')")
        attacker.execute(
            f"""
            CREATE FUNCTION play.log(i integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE
            AS $$ BEGIN IF session_user <> '{LOGGER}' THEN PERFORM jobmon.{call}({job}); END IF; RETURN i; END $$;
            CREATE TABLE play.bait (i integer) WITH (autovacuum_enabled = off);
            INSERT INTO play.bait VALUES (1);
            CREATE INDEX ON play.bait (play.log(i))
            """.encode()
        )
        with contextlib.suppress(psycopg.Error):
            session.execute("ANALYZE play.bait")
        assert session.execute("SELECT status, pid FROM jobmon.job_log").fetchall() == [(None, victim.info.backend_pid)]
        assert value(session, "SELECT count(*) FROM jobmon.cancelled_job") == 0
        assert value(victim, "SELECT jobmon.close_job(%s)", job) is not None


def stores(session: psycopg.Connection) -> set[tuple[object, ...]]:
    """How and where the tables and indexes of the runs and the steps are stored."""
    return set(
        session.execute(
            """
            SELECT c.relkind, a.amname, c.reltablespace
              FROM unnest(ARRAY['jobmon.job_log', 'jobmon.job_detail']::regclass[]) AS t(oid)
             CROSS JOIN LATERAL pg_partition_tree(t.oid) AS p
              JOIN pg_index AS i ON i.indrelid = p.relid
              JOIN pg_class AS c ON c.oid IN (i.indexrelid, p.relid)
              JOIN pg_am AS a ON a.oid = c.relam
             WHERE p.isleaf
            """
        ).fetchall()
    )


def test_a_link_decides_neither_how_partitions_are_stored_nor_whether_ids_are_verified(own_database: Database) -> None:
    folder = own_database.server.folder
    with own_database.connect() as session:
        session.execute(
            f"CREATE EXTENSION dblink SCHEMA public; CREATE ROLE {LOGGER} LOGIN;"
            "CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler".encode()
        )
        for place in ("fast", "slow"):
            session.execute(f"COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; mkdir {folder}/{place}'".encode())
            session.execute(f"CREATE TABLESPACE {place} LOCATION '{folder}/{place}'".encode())
        assert own_database.ctl("bootstrap", "--partition", "month").status == 0
        session.execute(f"GRANT jobmon_log TO {LOGGER}".encode())
        session.execute(
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)"
            " SELECT 'victim', 'VICTIM', now() - interval '99 days', 0 FROM generate_series(1, 9);"
            "INSERT INTO jobmon.job_detail (job_id, action, start_time)"
            " SELECT job_id, 'theirs', start_time FROM jobmon.job_log"
        )

        def again(setting: str = "") -> None:
            """Have the link of a session with this setting make all partitions of now and later, and meet ids that there are."""
            with own_database.connect(user=LOGGER) as attacker:
                if setting.startswith("SET"):
                    attacker.execute("SELECT jobmon.add_job('open')")
                    over_the_link(attacker, setting)
                for name, column, call in (
                    ("job_log", "job_id", "add_job('mine')"),
                    ("job_detail", "step_id", "add_step(jobmon.add_job('mine'), 'mine')"),
                ):
                    if column.replace("job", "run") in setting:
                        session.execute(f"SELECT setval('jobmon.{name}_{column}_seq', 2)".encode())
                        assert value(attacker, f"SELECT jobmon.{call}") > 9, setting
                for names in session.execute(
                    "SELECT runs::text, steps::text FROM jobmon.partitions() WHERE ends > now()"
                ):
                    session.execute("DROP TABLE {}, {}".format(*names).encode())
                attacker.execute("SELECT jobmon.add_job('new')")
                assert value(session, "SELECT count(*) FROM jobmon.partitions() WHERE ends > now()") == 3
                if setting.startswith("SET default"):
                    over_the_link(attacker, f"ALTER ROLE current_user {setting}")

        for setting in (
            "default_tablespace = slow",
            "default_table_access_method = other",
            "jobmon.run_ids = '1e300'",
            "jobmon.step_ids = '1e300'",
        ):
            before = stores(session)
            again(f"SET {setting}")
            assert stores(session) == before, setting
            again()
            assert stores(session) == before, setting
        # what the schema's owner wants counts
        for table in ("job_log", "job_detail"):
            session.execute(f"ALTER TABLE jobmon.{table}_default SET TABLESPACE fast".encode())
        again()
        fast = "SELECT array_agg(DISTINCT spcname) FROM jobmon.partitions() AS p JOIN pg_class AS c ON c.oid IN (p.runs, p.steps)"
        assert value(session, f"{fast} JOIN pg_tablespace AS t ON t.oid = c.reltablespace") == ["fast"]
