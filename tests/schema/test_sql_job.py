"""sql_job: a complete job of one statement, never twice at once."""

import re
import subprocess

import psycopg
import pytest
from psycopg import errors

from check_jobmon.demo.server import wheel_binaries
from tests.database import Database, value
from tests.schema.sessions import busy, until
from tests.warm import ROOT

RUNS = "SELECT job_name, status FROM jobmon.job_log ORDER BY job_id"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
ASLEEP = "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"


def assert_nothing_left(session: psycopg.Connection) -> None:
    """Neither a lock nor an open run."""
    assert value(session, LOCKS) == 0
    assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE end_time IS NULL") == 0


def test_a_job_that_goes_well(session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE facts (id integer)")
    text = value(session, "SELECT jobmon.sql_job('Load', 'INSERT INTO facts SELECT generate_series(1, 7)')")
    job = value(session, "SELECT job_id FROM jobmon.job_log")
    assert text == f"job {job} (LOAD) was successful"
    assert session.execute(RUNS).fetchall() == [("LOAD", "OK")]
    assert session.execute("SELECT action, message FROM jobmon.job_detail").fetchall() == [
        ("Running sql: 'INSERT INTO facts SELECT generate_series(1, 7)'", "Rows affected: 7")
    ]
    assert value(session, "SELECT count(*) FROM facts") == 7
    assert_nothing_left(session)


def test_a_job_that_fails_is_undone_and_the_transaction_goes_on(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("CREATE TABLE facts (id integer)")
    with database.connect(autocommit=False) as caller:
        caller.execute("INSERT INTO facts VALUES (1)")
        text = value(caller, "SELECT jobmon.sql_job('load', 'INSERT INTO facts VALUES (2); SELECT 1 / 0')")
        caller.commit()
    job = value(session, "SELECT job_id FROM jobmon.job_log")
    assert text == f"job {job} (LOAD) failed"
    assert session.execute(RUNS).fetchall() == [("LOAD", "CRITICAL")]
    assert session.execute("SELECT status, message FROM jobmon.job_detail").fetchall() == [
        ("CRITICAL", "ERROR: division by zero [22012]")
    ]
    assert value(session, "SELECT array_agg(id) FROM facts") == [1]
    assert_nothing_left(session)


def test_a_second_call_ends_at_once_and_is_logged_as_a_warning(database: Database, session: psycopg.Connection) -> None:
    session.execute("CREATE ROLE sql_job_other LOGIN; GRANT jobmon_log TO sql_job_other")
    with busy(database, "SELECT jobmon.sql_job('nightly etl', 'SELECT pg_sleep(60)')") as first:
        until(session, ASLEEP, first.pid)
        running = value(session, "SELECT job_id FROM jobmon.job_log")
        with database.connect(user="sql_job_other") as other:
            text = value(other, "SELECT jobmon.sql_job('Nightly ETL', 'SELECT 1')")
        refused = value(session, "SELECT max(job_id) FROM jobmon.job_log")
        assert text == f"job {refused} (NIGHTLY ETL) was not run: job {running} (pid {first.pid}) is under way"
        assert session.execute(RUNS).fetchall() == [("NIGHTLY ETL", None), ("NIGHTLY ETL", "WARNING")]
        assert session.execute(
            "SELECT action, status, message FROM jobmon.job_detail WHERE job_id = %s", [refused]
        ).fetchall() == [
            (
                "see that the job is not already running",
                "WARNING",
                f"not run: job {running} (pid {first.pid}) is under way",
            )
        ]
        assert value(session, "SELECT jobmon.sql_job('another', 'SELECT 1')").endswith("was successful")
    assert isinstance(first.error, errors.QueryCanceled)
    assert_nothing_left(session)
    assert value(session, "SELECT jobmon.sql_job('nightly etl', 'SELECT 1')").endswith("was successful")
    session.execute("DROP ROLE sql_job_other")


@pytest.mark.parametrize("jobs", [1, 600])
def test_a_refused_run_is_no_run_of_the_job(database: Database, session: psycopg.Connection, jobs: int) -> None:
    session.execute(
        "INSERT INTO jobmon.job_check_config SELECT 'JOB ' || n, '1 hour', '1 hour', true, 5 FROM generate_series(1, %s) AS n",
        [jobs],
    )
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " SELECT 'x', 'JOB ' || n, now(), now() - CASE n WHEN 1 THEN interval '3 h' ELSE '0' END, 'OK', 1"
        "   FROM generate_series(1, %s) AS n",
        [jobs],
    )
    with busy(database, "SELECT jobmon.sql_job('job 1', 'SELECT pg_sleep(60)')") as first:
        until(session, ASLEEP, first.pid)
        for _ in range(2):
            assert "was not run" in value(session, "SELECT jobmon.sql_job('job 1', 'SELECT 1')")
    session.execute("DELETE FROM jobmon.job_log WHERE pid = %s", [first.pid])
    text = value(session, "SELECT alert_text FROM jobmon.check_job_status()")
    assert re.fullmatch(r"\(JOB 1: MISSING - not run for 03:0\d:\d\d, error after 01:00:00\)", text)
    assert database.check().first_line.endswith("JOB 1 missing, last run 3h ago (critical 1h)")
    # nor must the last real run be cleared, from which it is counted
    session.execute("UPDATE jobmon.job_check_config SET error_threshold = '1 year'")
    kept = "SELECT job_id FROM jobmon.job_log_kept() WHERE job_name = 'JOB 1'"
    assert value(session, kept) == value(session, "SELECT min(job_id) FROM jobmon.job_log WHERE job_name = 'JOB 1'")


def test_a_job_that_calls_itself_is_refused_too(session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE texts (text text)")
    nested = "INSERT INTO texts SELECT jobmon.sql_job('ETL', 'SELECT 1')"
    assert value(session, "SELECT jobmon.sql_job('etl', %s)", nested).endswith("was successful")
    outer, inner = session.execute("SELECT job_id, status FROM jobmon.job_log ORDER BY job_id").fetchall()
    pid = session.info.backend_pid
    assert value(session, "TABLE texts") == f"job {inner[0]} (ETL) was not run: job {outer[0]} (pid {pid}) is under way"
    assert (outer[1], inner[1]) == ("OK", "WARNING")
    assert_nothing_left(session)


def test_it_can_run_again_in_the_same_transaction(database: Database, session: psycopg.Connection) -> None:
    with database.connect(autocommit=False) as caller:
        for _ in range(2):
            assert value(caller, "SELECT jobmon.sql_job('etl', 'SELECT 1')").endswith("was successful")
        assert value(session, LOCKS) == 0


def test_a_statement_timeout_fails_the_job_and_leaves_nothing_behind(session: psycopg.Connection) -> None:
    session.execute("SET statement_timeout = '500ms'")
    with pytest.raises(errors.QueryCanceled):
        session.execute("SELECT jobmon.sql_job('etl', 'SELECT pg_sleep(60)')")
    session.execute("RESET statement_timeout")
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")]
    assert value(session, "SELECT message FROM jobmon.job_detail") == (
        "ERROR: canceling statement due to statement timeout [57014]"
    )
    assert_nothing_left(session)


def test_a_dead_session_does_not_keep_the_job_from_running(database: Database, session: psycopg.Connection) -> None:
    with busy(database, "SELECT jobmon.sql_job('etl', 'SELECT pg_sleep(60)')") as first:
        until(session, ASLEEP, first.pid)
        session.execute("SELECT pg_terminate_backend(%s)", [first.pid])
        first.join()
    until(session, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", first.pid)
    assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT 1')").endswith("was successful")
    assert value(session, LOCKS) == 0


def test_a_statement_that_sets_a_role_does_not_keep_the_end_from_being_logged(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("CREATE ROLE sql_job_powerless")
    assert value(session, "SELECT jobmon.sql_job('etl', 'SET ROLE sql_job_powerless')").endswith("was successful")
    assert value(session, "SELECT current_user::text") == "postgres"
    failing = "SET ROLE sql_job_powerless; CREATE TABLE jobmon.mine ()"
    assert value(session, "SELECT jobmon.sql_job('etl', %s)", failing).endswith("failed")
    assert value(session, "SELECT current_user::text") == "postgres"
    assert_nothing_left(session)
    session.execute("DROP ROLE sql_job_powerless")


def test_a_statement_that_sets_the_session_authorization_does_not_keep_the_end_from_being_logged(
    session: psycopg.Connection,
) -> None:
    session.execute("CREATE ROLE sql_job_powerless")
    for statement, end in (("", "was successful"), ("; CREATE TABLE jobmon.mine ()", "failed")):
        statement = f"SET SESSION AUTHORIZATION sql_job_powerless{statement}"
        assert value(session, "SELECT jobmon.sql_job('etl', %s)", statement).endswith(end)
        assert value(session, "SELECT session_user::text") == "postgres"
        assert value(session, "SELECT count(*) FROM jobmon.job_detail WHERE end_time IS NULL") == 0
        assert_nothing_left(session)
    session.execute("DROP ROLE sql_job_powerless")


DEFERRED = """
    CREATE TABLE a (id integer PRIMARY KEY);
    CREATE TABLE b (id integer REFERENCES a DEFERRABLE INITIALLY DEFERRED, CONSTRAINT once UNIQUE (id) DEFERRABLE)
"""


def test_a_job_that_would_fail_at_commit_for_a_deferred_constraint_has_failed(session: psycopg.Connection) -> None:
    session.execute(DEFERRED.encode())
    assert value(session, "SELECT jobmon.sql_job('etl', 'INSERT INTO b VALUES (1)')").endswith("failed")
    message = 'ERROR: insert or update on table "b" violates foreign key constraint "b_id_fkey"'
    assert value(session, "SELECT message FROM jobmon.job_detail").startswith(message)
    assert value(session, "SELECT count(*) FROM b") == 0
    good = "INSERT INTO b VALUES (1); INSERT INTO a VALUES (1)"
    assert value(session, "SELECT jobmon.sql_job('etl', %s)", good).endswith("was successful")


def test_constraints_are_deferred_after_the_job_as_before(database: Database, session: psycopg.Connection) -> None:
    session.execute(DEFERRED.encode())
    with database.connect(autocommit=False) as caller:
        # broken when the job begins, and not by it
        caller.execute("INSERT INTO b VALUES (2)")
        assert value(caller, "SELECT jobmon.sql_job('etl', 'INSERT INTO a VALUES (1)')").endswith("was successful")
        caller.execute("INSERT INTO a VALUES (2)")
        assert value(caller, "SELECT jobmon.sql_job('etl', 'INSERT INTO b VALUES (1)')").endswith("was successful")
        # initially immediate: it must not have become deferred
        with pytest.raises(errors.UniqueViolation), caller.transaction():
            caller.execute("INSERT INTO b VALUES (1)")
        # initially deferred: it must not have become immediate
        caller.execute("INSERT INTO b VALUES (3)")
        with pytest.raises(errors.ForeignKeyViolation):
            caller.commit()


def test_a_bad_name_is_refused_and_nothing_run(session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE facts ()")
    for name in (None, "", " ", "x" * 501):
        with pytest.raises(psycopg.Error, match="name"):
            session.execute("SELECT jobmon.sql_job(%s, 'DROP TABLE facts')", [name])
        assert value(session, "SELECT to_regclass('facts') IS NOT NULL"), name
        assert value(session, "SELECT count(*) FROM jobmon.job_log") == 0, name
        assert_nothing_left(session)


def test_a_job_of_a_security_definer_function_runs_no_trigger_that_others_have_deferred(
    database: Database, session: psycopg.Connection
) -> None:
    """Before PostgreSQL 18 SET CONSTRAINTS would run it with the rights of the function's owner."""
    session.execute(
        "CREATE FUNCTION public.nightly() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog"
        " AS $$SELECT jobmon.sql_job('nightly', 'SELECT 1')$$;"
        "CREATE ROLE deferrer LOGIN; CREATE SCHEMA deferrer AUTHORIZATION deferrer"
    )
    try:
        with database.connect(user="deferrer", autocommit=False) as attacker:
            attacker.execute(
                "CREATE TABLE deferrer.seen (who text); CREATE TABLE deferrer.bait (n integer);"
                "CREATE FUNCTION deferrer.look() RETURNS trigger LANGUAGE plpgsql AS"
                " $$BEGIN INSERT INTO deferrer.seen VALUES (current_user); RETURN NULL; END$$;"
                "CREATE CONSTRAINT TRIGGER look AFTER INSERT ON deferrer.bait DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION deferrer.look()"
            )
            attacker.commit()
            attacker.execute("INSERT INTO deferrer.bait VALUES (1)")
            assert value(attacker, "SELECT public.nightly()").endswith("was successful")
            assert value(attacker, "SELECT count(*) FROM deferrer.seen") == 0
            attacker.commit()
            assert value(attacker, "SELECT who FROM deferrer.seen") == "deferrer"
    finally:
        session.execute("DROP OWNED BY deferrer; DROP ROLE deferrer")


def test_no_error_of_the_jobs_own_is_taken_for_a_passed_check(session: psycopg.Connection) -> None:
    session.execute(
        "CREATE TABLE public.t (n integer);"
        "CREATE FUNCTION public.fails() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'JM000'; END$$;"
        "CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON public.t DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION public.fails()"
    )
    assert value(session, "SELECT jobmon.sql_job('etl', 'INSERT INTO public.t VALUES (1)')").endswith("failed")
    assert value(session, "SELECT message FROM jobmon.job_detail") == "ERROR: no [JM000]"


def _psql(database: Database, statement: str) -> tuple[int, str]:
    """What cron does with a line `psql -c`: the exit status, and stderr."""
    where = ["-h", str(database.server.folder), "-p", str(database.server.port), "-U", "postgres", "-d", database.name]
    program = str(wheel_binaries() / "psql")
    done = subprocess.run([program, "-X", *where, "-c", statement], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_psql_exits_non_zero_for_a_job_that_failed_if_its_error_is_raised(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("CREATE TABLE facts (id integer PRIMARY KEY)")
    load = "SELECT jobmon.sql_job('load', 'INSERT INTO facts VALUES (1)', p_raise => %s)"
    assert _psql(database, load % "true") == (0, "")
    assert _psql(database, load % "false") == (0, "")
    assert _psql(database, load % "NULL") == (0, "")
    status, said = _psql(database, load % "true")
    assert status == 1
    assert said.startswith(
        'ERROR:  duplicate key value violates unique constraint "facts_pkey"\nDETAIL:  Key (id)=(1) already exists.\n'
    )
    assert session.execute(RUNS).fetchall() == [("LOAD", "OK")] + 3 * [("LOAD", "CRITICAL")]
    assert value(session, "SELECT message FROM jobmon.job_detail ORDER BY step_id DESC LIMIT 1") == (
        'ERROR: duplicate key value violates unique constraint "facts_pkey" DETAIL: Key (id)=(1) already exists. [23505]'
    )
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 3
    assert_nothing_left(session)


ERRORS: dict[str | None, type[psycopg.Error]] = {
    "SELECT 1 / 0": errors.DivisionByZero,
    "SELEC": errors.SyntaxError,
    "DO $$BEGIN ASSERT false; END$$": errors.AssertFailure,
    "COMMIT": errors.FeatureNotSupported,
    "VACUUM": errors.ActiveSqlTransaction,
    "INSERT INTO b VALUES (1)": errors.ForeignKeyViolation,
    None: errors.NullValueNotAllowed,
}


def test_every_error_of_a_job_is_raised_as_it_is(session: psycopg.Connection) -> None:
    session.execute(DEFERRED.encode())
    for statement, error in ERRORS.items():
        assert value(session, "SELECT jobmon.sql_job('etl', %s)", statement).endswith("failed"), statement
        with pytest.raises(error):
            session.execute("SELECT jobmon.sql_job('etl', %s, p_raise => true)", [statement])
        assert session.execute(RUNS).fetchall() == 2 * [("ETL", "CRITICAL")], statement
        messages = [row[0] for row in session.execute("SELECT message FROM jobmon.job_detail").fetchall()]
        assert len(messages) == 2
        assert messages[0] == messages[1]
        assert error.sqlstate in messages[0]
        assert_nothing_left(session)
        session.execute("DELETE FROM jobmon.job_log")


def test_a_refusal_is_raised_too(database: Database, session: psycopg.Connection) -> None:
    with busy(database, "SELECT jobmon.sql_job('nightly etl', 'SELECT pg_sleep(60)')") as first:
        until(session, ASLEEP, first.pid)
        status, said = _psql(database, "SELECT jobmon.sql_job('nightly etl', 'SELECT', p_raise => true)")
        refusal = f"ERROR:  job 2 (NIGHTLY ETL) was not run: job 1 (pid {first.pid}) is under way\n"
        assert (status, said.partition("CONTEXT")[0]) == (1, refusal)
        assert session.execute(RUNS).fetchall() == [("NIGHTLY ETL", None), ("NIGHTLY ETL", "WARNING")]


def test_what_may_not_run_within_sql_job_runs_between_add_job_and_close_job(
    database: Database, session: psycopg.Connection
) -> None:
    page = (ROOT / "docs/guides/sql-jobs.rst").read_text(encoding="utf-8")
    script = page.partition("<<'END'\n")[2].partition("    END\n")[0]
    assert "VACUUM facts" in script
    session.execute("CREATE TABLE facts ()")
    where = ["-h", str(database.server.folder), "-p", str(database.server.port), "-U", "postgres", "-d", database.name]
    program = [str(wheel_binaries() / "psql"), "-X", "-v", "ON_ERROR_STOP=1"]
    subprocess.run([*program, *where], input=script, check=True, text=True, capture_output=True)
    assert session.execute(RUNS).fetchall() == [("VACUUM FACTS", "OK")]
