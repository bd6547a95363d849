"""jobmonctl migrate: pg_jobmon's tables, of any version, become a log of check_jobmon's, and callers keep their SQL."""

import threading
from typing import Any

import psycopg
import pytest

from check_jobmon.sql_files import sql_file
from tests.ctl.prompt import on_terminal, refusal
from tests.database import Database, until, value
from tests.judging.test_pg_jobmon import RUNS, VARIANTS, judgement, names_of, write_history

TABLES = {
    "job_log": "job_id, owner, job_name, start_time, end_time, status, pid",
    "job_detail": "job_id, step_id, action, start_time, end_time, elapsed_time, status, message",
    "job_check_config": "job_name, warn_threshold, error_threshold, active, sensitivity",
    "job_check_log": "job_id, job_name, alert_code",
}
CALLERS = """\
differs: a run can be ended by the role that started it, by one with that role's rights, or by the schema's owner
differs: a run that has ended keeps its end, and job_log_clear() keeps the runs that the check needs
"""


@pytest.fixture(params=VARIANTS, ids=names_of)
def old(request: pytest.FixtureRequest, empty_database: Database) -> Database:
    """A database with pg_jobmon's tables, of each variant, other words, and the port in the mapping."""
    code, text = f"{request.param.texts}_code", f"{request.param.texts}_text"
    with empty_database.connect() as session:
        request.param.create(session)
        session.execute(f"UPDATE jobmon.job_status_text SET {text} = 'BAD' WHERE {code} = 3".encode())
        session.execute(f"INSERT INTO jobmon.{request.param.mapping} (port) VALUES (current_setting('port'))".encode())
    return empty_database


@pytest.fixture
def newest(empty_database: Database) -> Database:
    """A database with the newest of pg_jobmon's tables."""
    with empty_database.connect() as session:
        VARIANTS[-1].create(session)
    return empty_database


def log_runs(session: psycopg.Connection, number: int, schema: str = "jobmon") -> None:
    """Runs of one step, that ended well: 1, 2, ..."""
    session.execute(
        f"""
        INSERT INTO {schema}.job_log
        SELECT i, 'postgres', 'ETL', now() - interval '1 h', now() - interval '50 min', 'OK', 7
          FROM generate_series(1, {number}) AS i;
        INSERT INTO {schema}.job_detail
        SELECT i, 10 * i, 'load', now() - interval '1 h', now() - interval '50 min', 600, 'OK', '42 rows'
          FROM generate_series(1, {number}) AS i
        """.encode()
    )


def rows(session: psycopg.Connection, schema: str) -> dict[str, list[Any]]:
    """What is to be the same in both schemas."""
    return {
        name: session.execute(f"SELECT {columns} FROM {schema}.{name} AS t ORDER BY t".encode()).fetchall()
        for name, columns in TABLES.items()
    }


def schemas(session: psycopg.Connection) -> Any:
    """The schemas and roles that there are."""
    return session.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' UNION ALL SELECT rolname FROM pg_roles ORDER BY 1"
    ).fetchall()


def test_all_is_taken_over_and_judged_as_before_whatever_the_version(old: Database) -> None:
    with old.connect() as session:
        write_history(session)
        session.execute("UPDATE jobmon.job_log SET status = 'BAD' WHERE status = 'CRITICAL'")
        before, judged = rows(session, "jobmon"), judgement(old.check("-vv"))
        refused = refusal(old.ctl("bootstrap"))
        assert refused.endswith('with --schema, or, if these are pg_jobmon\'s, run "jobmonctl migrate"')
        output = old.ctl("migrate")
        assert (output.status, output.stderr) == (0, "")
        *lines, bootstrapped = output.stdout.splitlines(keepends=True)
        assert (
            "".join(lines) == f'migrated schema "jobmon" of database "{old.name}" to "jobmon": 17 runs with 32 steps\n'
            'the old schema, named "jobmon_old" from now on, is not dropped; once nothing needs it: '
            'DROP SCHEMA "jobmon_old" CASCADE\n'
            f"judged as before: 14 of 14 monitored jobs\n{CALLERS}"
        )
        assert "nothing changed; the link works" in bootstrapped
        assert rows(session, "jobmon") == before
        assert judgement(old.check("-vv")) == judged
        assert value(session, "SELECT port FROM jobmon.dblink_mapping") == value(session, "SHOW port")
        # the run that was under way; and one of the same job that starts now
        session.execute("SELECT jobmon.close_job(99)")
        assert value(session, "SELECT status FROM jobmon.job_log WHERE job_id = 99") == "OK"
        assert value(session, "SELECT jobmon.add_job('nightly etl')") == 100
        assert value(session, "SELECT jobmon.add_step(100, 'load')") == 2 * len(RUNS) + 2
        session.execute("SELECT jobmon.fail_job(100)")
        assert value(session, "SELECT status FROM jobmon.job_log WHERE job_id = 100") == "BAD"
    assert old.ctl("bootstrap", "--check").status == 0
    assert refusal(old.ctl("migrate")) == (
        f'jobmonctl migrate: schema "jobmon" of database "{old.name}" is check_jobmon\'s already: name pg_jobmon\'s with --from'
    )


def test_a_dry_run_says_the_same_and_changes_nothing(newest: Database) -> None:
    with newest.connect() as session:
        write_history(session)
        before = rows(session, "jobmon"), schemas(session)
        dry = newest.ctl("migrate", "--dry-run")
        assert (dry.status, dry.stderr) == (0, "")
        assert (rows(session, "jobmon"), schemas(session)) == before
        assert newest.ctl("migrate").stdout.startswith(dry.stdout.replace("would migrate", "migrated"))


def test_the_new_schema_can_have_another_name(newest: Database) -> None:
    with newest.connect() as session:
        write_history(session)
        assert newest.ctl("bootstrap", "--schema", "joblog").status == 0
        output = newest.ctl("migrate", "--from", "jobmon", "--schema", "joblog")
        assert output.status == 0, output
        assert output.stdout.splitlines()[1] == (
            'the old schema "jobmon" is not dropped; once nothing needs it: DROP SCHEMA "jobmon" CASCADE'
        )
        assert rows(session, "joblog") == rows(session, "jobmon")
        assert judgement(newest.check("--schema", "joblog", "-vv")) == judgement(newest.check("-vv"))
        assert value(session, "SELECT joblog.add_job('x')") == 100


DIFFERENCES = """
    INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity, escalate)
         VALUES ('ETL', '1 day', '2 days', true, -1, NULL), ('CUBE', '1 day', '2 days', true, 0, '2'),
                ('FEED', '1 day', '2 days', true, 1, '3:2');
    INSERT INTO jobmon.job_check_log VALUES (90, 'CUBE', 2), (91, 'CUBE', 2), (92, 'FEED', 3), (92, 'FEED', 3);
    INSERT INTO jobmon.job_log SELECT i, 'x', 'CUBE', now(), now(), 'WARNING', 7 FROM generate_series(90, 91) AS i;
    INSERT INTO jobmon.job_log VALUES (92, 'x', 'FEED', now(), now(), 'CRITICAL', 7);
    INSERT INTO jobmon.dblink_mapping_jobmon VALUES ('postgres', NULL, 'secret');
    CREATE FUNCTION jobmon.their_own(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
    CREATE FUNCTION jobmon.fail_job(bigint) RETURNS void LANGUAGE sql AS '';
    CREATE VIEW public.last_runs AS SELECT * FROM jobmon.job_log;
    CREATE TABLE public.note (job_id bigint REFERENCES jobmon.job_log);
"""


def test_what_differs_is_listed_with_the_reason(newest: Database) -> None:
    with newest.connect() as session:
        session.execute(DIFFERENCES)
        output = newest.ctl("migrate")
        assert (output.status, output.stderr) == (0, "")
        said = "".join(output.stdout.splitlines(keepends=True)[2:-1])
        assert said.partition(CALLERS) == (
            """\
judged as before: 1 of 3 monitored jobs
job CUBE is now CRITICAL: failed 2 times; it was WARNING: failed 2 times
job FEED is now OK; it was CRITICAL: failed 2 times
differs: job CUBE: its escalate counts: 2 failures in a row are critical, and the plugin has ignored that
differs: job ETL: its sensitivity was -1, and is now 0
differs: job FEED: its escalate (3:2) is not a number of failures, and is left out
differs: job FEED: run 92 was in job_check_log 2 times, and counts as one failure
""",
            CALLERS,
            """\
differs: constraint note_job_id_fkey on table public.note still uses jobmon_old.job_log: create it again
differs: jobmon_old.their_own(text) is not there any more
differs: view public.last_runs still uses jobmon_old.job_log: create it again
differs: the log is not written as postgres, a superuser, as dblink_mapping had it
""",
        )
        assert session.execute("SELECT username, pwd FROM jobmon.dblink_mapping").fetchall() == [(None, None)]


def test_grants_give_the_rights_that_were_there(newest: Database) -> None:
    roles = ("mig_etl", "mig_app", "mig_ops", "mig_nagios", "mig x")
    with newest.connect() as session:
        try:
            for role in roles:
                session.execute(psycopg.sql.SQL("CREATE ROLE {} LOGIN").format(psycopg.sql.Identifier(role)))
                session.execute(
                    psycopg.sql.SQL("GRANT USAGE ON SCHEMA jobmon TO {}").format(psycopg.sql.Identifier(role))
                )
            session.execute(
                """
                CREATE FUNCTION jobmon.add_job(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
                CREATE FUNCTION jobmon.check_job_status(OUT alert_code integer, OUT alert_text text)
                LANGUAGE sql SECURITY DEFINER AS $$SELECT 1, 'x'$$;
                CREATE FUNCTION jobmon.job_log_clear(interval) RETURNS void LANGUAGE sql AS '';
                REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobmon FROM PUBLIC;
                GRANT EXECUTE ON FUNCTION jobmon.add_job(text) TO mig_etl, mig_app, "mig x";
                GRANT EXECUTE ON FUNCTION jobmon.check_job_status() TO mig_nagios;
                GRANT EXECUTE ON FUNCTION jobmon.job_log_clear(interval) TO mig_ops, mig_app;
                GRANT ALL ON ALL TABLES IN SCHEMA jobmon TO mig_ops
                """
            )
            grants = """\
GRANT jobmon_log TO "mig x";
GRANT jobmon_log TO mig_app;
GRANT jobmon_log TO mig_etl;
GRANT jobmon_monitor TO mig_nagios;
GRANT jobmon_admin TO mig_ops;
"""
            dry = newest.ctl("migrate", "--dry-run").stdout
            assert dry.endswith("-- these give the roles the rights that they had; --grant runs them:\n" + grants)
            assert grants in newest.ctl("migrate", "--grant").stdout
            with newest.connect(user="mig_etl") as theirs:
                assert value(theirs, "SELECT jobmon.add_job('etl')") == 1
                theirs.execute("SELECT jobmon.close_job(1)")
            assert newest.check("-U", "mig_nagios").status == 0
        finally:
            for role in roles:
                session.execute(
                    psycopg.sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(psycopg.sql.Identifier(role))
                )


@pytest.mark.parametrize("owned", ["NONE", "jobmon.job_log.job_id"])
def test_new_ids_are_beyond_those_of_runs_that_are_gone(newest: Database, owned: str) -> None:
    with newest.connect() as session:
        session.execute(
            f"""
            CREATE SEQUENCE jobmon.runs OWNED BY {owned};
            ALTER TABLE jobmon.job_log ALTER job_id SET DEFAULT nextval('jobmon.runs');
            SELECT setval('jobmon.runs', 500);
            ALTER TABLE jobmon.job_detail ALTER step_id ADD GENERATED BY DEFAULT AS IDENTITY (START 900);
            """.encode()
        )
        log_runs(session, 3)
        session.execute("INSERT INTO jobmon.job_detail (job_id, action, start_time) VALUES (1, 'x', now())")
        session.execute("DELETE FROM jobmon.job_detail WHERE action = 'x'")
        assert newest.ctl("migrate").status == 0
        assert value(session, "SELECT jobmon.add_job('x')") == 501
        assert value(session, "SELECT jobmon.add_step(501, 'x')") == 901


def test_whoever_could_not_log_is_not_granted_that(newest: Database) -> None:
    """The old functions are PUBLIC's, as they are unless somebody revokes that; but logging takes more than calling them."""
    with newest.connect() as session:
        session.execute(
            """
            CREATE ROLE mig_reads; CREATE ROLE mig_logs; CREATE ROLE mig_has_logged;
            CREATE FUNCTION jobmon.add_job(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
            GRANT USAGE ON SCHEMA jobmon TO mig_reads, mig_logs, mig_has_logged;
            GRANT SELECT ON jobmon.job_log TO mig_reads;
            GRANT SELECT ON jobmon.dblink_mapping_jobmon TO mig_logs;
            """
        )
        try:
            log_runs(session, 1)
            session.execute("UPDATE jobmon.job_log SET owner = 'mig_has_logged'")
            grants = newest.ctl("migrate", "--dry-run").stdout.partition("--grant runs them:\n")[2]
            assert grants == (
                "GRANT jobmon_log TO mig_has_logged;\nGRANT jobmon_log TO mig_logs;\nGRANT jobmon_monitor TO mig_reads;\n"
            )
        finally:
            session.execute(
                "DROP OWNED BY mig_reads, mig_logs, mig_has_logged; DROP ROLE mig_reads, mig_logs, mig_has_logged"
            )


def test_a_roles_name_is_quoted_in_the_grants(newest: Database) -> None:
    roles = ["app; DROP TABLE jobmon.job_log", "a\"b'c", "new\nline -- x", "%s %I", "\x1b[31m"]
    with newest.connect() as session:
        session.execute("CREATE FUNCTION jobmon.add_job(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'")
        names = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, roles))
        for role in roles:
            session.execute(psycopg.sql.SQL("CREATE ROLE {}").format(psycopg.sql.Identifier(role)))
        try:
            grants = "GRANT USAGE ON SCHEMA jobmon TO {0}; GRANT EXECUTE ON FUNCTION jobmon.add_job TO {0}"
            session.execute(psycopg.sql.SQL(grants).format(names))
            output = newest.ctl("migrate", "--grant")
            assert (output.status, output.stderr) == (0, "")
            assert sum(line.startswith("GRANT ") for line in output.stdout.splitlines()) == len(roles)
            for role in roles:
                assert value(session, "SELECT pg_has_role(%s::name, 'jobmon_log', 'MEMBER')", role), role
        finally:
            session.execute(psycopg.sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(names))


def test_where_the_log_is_written_is_not_for_others_to_say(newest: Database) -> None:
    """A role that may create tables in the old schema names a host of its own. The genuine one is named when it is kept."""
    with newest.connect() as session:
        session.execute(
            """
            CREATE ROLE mig_owner LOGIN CREATEROLE; CREATE ROLE mig_stranger LOGIN;
            ALTER SCHEMA jobmon OWNER TO mig_owner; GRANT CREATE, USAGE ON SCHEMA jobmon TO mig_stranger;
            ALTER TABLE jobmon.dblink_mapping_jobmon RENAME TO dblink_mapping;
            ALTER TABLE jobmon.dblink_mapping OWNER TO mig_owner;
            """
        )
        source = sql_file("ctl/migrate_source.sql").encode()
        try:
            with newest.connect(user="mig_stranger") as stranger:
                stranger.execute("CREATE TABLE jobmon.dblink_mapping_jobmon (host text)")
            for owner in ("mig_owner", "postgres", "mig_stranger"):
                session.execute(f"ALTER TABLE jobmon.dblink_mapping OWNER TO {owner}".encode())
                found = session.execute(source, {"source": "jobmon", "schema": "x"}).fetchone()
                assert found is not None
                assert found[-1] == (None if owner == "mig_stranger" else "dblink_mapping")
            session.execute("DROP TABLE jobmon.dblink_mapping_jobmon")
        finally:
            session.execute("REASSIGN OWNED BY mig_owner, mig_stranger TO postgres")
            session.execute("DROP OWNED BY mig_owner, mig_stranger; DROP ROLE mig_owner, mig_stranger")
        session.execute("INSERT INTO jobmon.dblink_mapping (host) VALUES ('evil.example.com')")
        said = newest.ctl("migrate", "--dry-run").stdout
        assert (
            "differs: the log is written on host evil.example.com, as dblink_mapping had it, and that host is" in said
        )


def test_where_everybody_could_log_those_who_have_are_named(newest: Database) -> None:
    with newest.connect() as session:
        session.execute(
            """
            CREATE ROLE mig_etl;
            CREATE FUNCTION jobmon.add_job(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';
            GRANT USAGE ON SCHEMA jobmon TO PUBLIC;
            """
        )
        try:
            log_runs(session, 1)
            session.execute("UPDATE jobmon.job_log SET owner = 'mig_etl'")
            assert newest.ctl("migrate", "--dry-run").stdout.endswith(
                "-- everybody could log (PUBLIC): of these, the roles that have logged so far are named here\n"
                "GRANT jobmon_log TO mig_etl;\n"
            )
            assert newest.ctl("migrate", "--grant").status == 0
            assert value(session, "SELECT pg_has_role('mig_etl', 'jobmon_log', 'MEMBER')")
        finally:
            session.execute("DROP OWNED BY mig_etl; DROP ROLE mig_etl")


def test_children_partitions_and_steps_without_a_run(newest: Database) -> None:
    with newest.connect() as session:
        session.execute(
            """
            ALTER TABLE jobmon.job_detail DROP CONSTRAINT job_detail_job_id_fkey;
            CREATE TABLE jobmon.job_log_2026 (own text, LIKE jobmon.job_log INCLUDING ALL);
            ALTER TABLE jobmon.job_log_2026 DROP COLUMN own, INHERIT jobmon.job_log;
            """
        )
        log_runs(session, 3)
        session.execute(
            """
            WITH moved AS (DELETE FROM ONLY jobmon.job_log WHERE job_id = 2 RETURNING *)
            INSERT INTO jobmon.job_log_2026 SELECT * FROM moved;
            DELETE FROM jobmon.job_log WHERE job_id = 3
            """
        )
        assert (
            newest.ctl("migrate")
            .stdout.splitlines()[0]
            .endswith(": 2 runs with 2 steps (1 step of runs that are gone left out)")
        )
        assert session.execute("SELECT job_id, step_id FROM jobmon.job_detail ORDER BY 1").fetchall() == [
            (1, 10),
            (2, 20),
        ]


def test_more_than_a_part_and_a_bar_on_a_terminal(newest: Database) -> None:
    with newest.connect() as session:
        log_runs(session, 2000)
        # a table of many blocks, some of them empty
        session.execute("ALTER TABLE jobmon.job_detail SET (fillfactor = 10)")
        session.execute(
            "UPDATE jobmon.job_detail SET message = repeat('x', 1500); UPDATE jobmon.job_detail SET status = 'OK'"
        )
        before = rows(session, "jobmon")
        with on_terminal(newest, "migrate") as terminal:
            terminal.see("100 of 100 percent done")
            assert terminal.end() == 0
        assert rows(session, "jobmon") == before


@pytest.mark.parametrize("arguments", [["--dry-run"], []])
def test_no_view_takes_a_tables_place_meanwhile(newest: Database, arguments: list[str]) -> None:
    """Whoever owns a table waits until it is read, also in a dry run, where others may log."""
    with newest.connect() as session, newest.connect(autocommit=False) as holder:
        # where it waits after it has examined the tables
        holder.execute("LOCK TABLE jobmon.dblink_mapping_jobmon")
        outputs: list[Any] = []
        migration = threading.Thread(target=lambda: outputs.append(newest.ctl("migrate", *arguments)))
        migration.start()
        until(lambda: value(session, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
        session.execute("SET lock_timeout = '1ms'")
        for table in TABLES:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                session.execute(f"ALTER TABLE jobmon.{table} RENAME TO {table}_x".encode())
        holder.commit()
        migration.join()
        assert outputs[0].status == 0, outputs


def test_whoever_logs_meanwhile_waits_and_finds_the_new_schema(newest: Database) -> None:
    log_run = "INSERT INTO jobmon.job_log VALUES (%s, 'me', 'ETL', now(), now(), 'OK', 7)"
    with newest.connect() as session, newest.connect(autocommit=False) as first, newest.connect() as second:
        first.execute(log_run, [1])
        outputs: list[Any] = []
        migration = threading.Thread(target=lambda: outputs.append(newest.ctl("migrate")))
        migration.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        until(lambda: value(session, waiting) == 1)
        late = threading.Thread(target=second.execute, args=[log_run, [2]])
        late.start()
        until(lambda: value(session, waiting) == 2)
        first.commit()
        for thread in (migration, late):
            thread.join()
        assert ": 1 run with 0 steps\n" in outputs[0].stdout
        assert session.execute("SELECT job_id FROM jobmon.job_log ORDER BY 1").fetchall() == [(1,), (2,)]


@pytest.mark.parametrize(
    ("statement", "arguments", "said"),
    [
        ("SELECT", ["--from", "nowhere"], 'no schema "nowhere" in database "{name}": name another with --from'),
        ("CREATE SCHEMA jobmon_old", [], 'nothing was changed: schema "jobmon_old" already exists: rename that one'),
        ("ALTER TABLE jobmon.job_log DROP COLUMN pid", [], 'jobmon.job_log in database "{name}" lacks the column pid'),
        (
            "ALTER TABLE jobmon.job_log ALTER pid DROP NOT NULL; INSERT INTO jobmon.job_log SELECT 1, 'x', 'x', now()",
            [],
            'null value in column "pid"',
        ),
        (
            "CREATE TABLE jobmon.child () INHERITS (jobmon.job_log);"
            "INSERT INTO jobmon.job_log VALUES (5, 'x', 'x', now(), now(), 'OK', 7);"
            "INSERT INTO jobmon.child TABLE jobmon.job_log",
            [],
            "nothing was changed: duplicate key value violates",
        ),
        (
            "INSERT INTO jobmon.job_check_log VALUES (9223372036854775807, 'x', 3)",
            [],
            "nothing was changed: bigint out of range: delete the row that has the greatest possible job_id or step_id",
        ),
        ("SELECT", ["-U", "mig_stranger"], 'schema "jobmon" belongs to role "postgres": connect as that role (-U)'),
        (
            "ALTER SCHEMA jobmon OWNER TO mig_stranger",
            [],
            'schema "jobmon" of database "{name}" belongs to role "mig_stranger"',
        ),
    ],
)
def test_what_can_not_be_migrated_is_refused_in_one_sentence(
    newest: Database, statement: str, arguments: list[str], said: str
) -> None:
    with newest.connect() as session:
        session.execute("CREATE ROLE mig_stranger LOGIN")
        try:
            session.execute(statement.encode())
            before = schemas(session)
            assert refusal(newest.ctl("migrate", *arguments)).startswith(
                f"jobmonctl migrate: {said.format(name=newest.name)}"
            )
            assert schemas(session) == before
        finally:
            session.execute("ALTER SCHEMA jobmon OWNER TO postgres; DROP ROLE mig_stranger")


def test_any_name_of_a_schema_or_job_is_taken_as_it_is(newest: Database) -> None:
    old, job = """Job's "Mon" $$ %s @old@""", "NÄME's @schema@ %(a)s | \x1b[31m"
    with newest.connect() as session:
        session.execute(psycopg.sql.SQL("ALTER SCHEMA jobmon RENAME TO {}").format(psycopg.sql.Identifier(old)))
        session.execute(psycopg.sql.SQL("SET search_path = {}").format(psycopg.sql.Identifier(old)))
        for number in (1, 2, 3):
            session.execute("INSERT INTO job_log VALUES (%s, %s, %s, now(), now(), 'CRITICAL', 7)", [number, job, job])
            session.execute("INSERT INTO job_check_log VALUES (%s, %s, 3), (%s, %s, 3)", [number, job, number, job])
        output = newest.ctl("migrate", "--from", old)
        assert (output.status, output.stderr) == (0, "")
        assert "\x1b" not in output.stdout
        assert (
            "job NÄME's @schema@ %(a)s | [31m is now CRITICAL: failed 3 times; it was CRITICAL: failed 6 times\n"
            in output.stdout
        )
        assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE job_name = %s", job) == 3
        assert value(session, "SELECT jobmon.add_job('x')") == 4


def test_a_schema_with_runs_gets_no_others(newest: Database) -> None:
    assert newest.ctl("bootstrap", "--schema", "joblog").status == 0
    with newest.connect() as session:
        session.execute("SELECT joblog.close_job(joblog.add_job('x'))")
        assert refusal(newest.ctl("migrate", "--from", "jobmon", "--schema", "joblog")) == (
            'jobmonctl migrate: schema "joblog" has runs already, and ids are kept: name another one with --schema'
        )
