"""Which run was the later one: its own times say so, in whatever order the rows are written and the calls made."""

import itertools

import psycopg
import pytest

from tests.database import Database, value
from tests.schema.test_dump import copy, harmless

ENDS = {"close_job(%s)": 1, "fail_job(%s, 2)": 2, "fail_job(%s)": 3}
"""The calls that end a run, and the alert code each stands for."""
AGED = "UPDATE jobmon.job_log SET start_time = start_time - %s::interval, end_time = end_time - %s::interval WHERE job_id = %s"


def a_run(session: psycopg.Connection, end: str, age: str = "0") -> int:
    """A run that has ended so long ago."""
    job = int(value(session, "SELECT jobmon.add_job('etl')"))
    session.execute(f"SELECT jobmon.{end}".encode(), [job])
    session.execute(AGED, [age, age, job])
    return job


def test_an_ended_run_keeps_its_end_and_can_only_become_worse(session: psycopg.Connection) -> None:
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '2 days', true, 0)")
    for first, then in itertools.product(ENDS, ENDS):
        session.execute("DELETE FROM jobmon.job_log; DELETE FROM jobmon.job_check_log")
        job = a_run(session, first, "30 days")
        newer = a_run(session, "fail_job(%s)", "5 days")
        (before,) = session.execute("SELECT end_time FROM jobmon.job_log WHERE job_id = %s", [job]).fetchall()
        session.execute(f"SELECT jobmon.{then}".encode(), [job])
        row = session.execute(
            "SELECT l.end_time, s.alert_code FROM jobmon.job_log AS l JOIN jobmon.job_status_text AS s ON s.alert_text = l.status"
            " WHERE l.job_id = %s",
            [job],
        ).fetchall()
        worst = max(ENDS[first], ENDS[then])
        assert row == [(*before, worst)], (first, then)
        failing = [(newer, 3)] if worst == 1 else [(job, worst), (newer, 3)]
        rows = session.execute("SELECT job_id, alert_code FROM jobmon.job_check_log ORDER BY job_id").fetchall()
        assert rows == failing, (first, then)
        text = value(session, "SELECT alert_text FROM jobmon.check_job_status()")
        assert f"FAILED_RUN - failed {len(failing)} time" in text, (first, then)
        assert "MISSING - not run for 120:0" in text, (first, then)


def test_failing_an_old_run_again_is_no_newer_failure(session: psycopg.Connection) -> None:
    old = a_run(session, "close_job(%s)", "2 days")
    a_run(session, "close_job(%s)", "1 day")
    session.execute("SELECT jobmon.fail_job(%s)", [old])
    assert value(session, "SELECT status FROM jobmon.job_log WHERE job_id = %s", old) == "CRITICAL"
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 0


def test_the_order_of_the_rows_does_not_matter(session: psycopg.Connection) -> None:
    """Four runs, of which the last two failed, written in every order, by one statement and by four."""
    runs = [(1, 5, "CRITICAL"), (2, 4, "OK"), (3, 3, "WARNING"), (4, 2, "CRITICAL")]
    insert = (
        "INSERT INTO jobmon.job_log (job_id, owner, job_name, start_time, end_time, status, pid)"
        " SELECT i, 'x', 'ETL', now() - interval '1 hour' * h, now() - interval '1 hour' * h, s, 1"
        " FROM unnest(%s::bigint[], %s::integer[], %s::text[]) WITH ORDINALITY AS r(i, h, s, n) ORDER BY n"
    )
    for order in itertools.permutations(runs):
        for statements in ([order], [[run] for run in order]):
            session.execute("TRUNCATE jobmon.job_check_log; TRUNCATE jobmon.job_log CASCADE")
            for rows in statements:
                session.execute(insert, [list(column) for column in zip(*rows, strict=True)])
            found = session.execute("SELECT job_id, alert_code FROM jobmon.job_check_log ORDER BY 1").fetchall()
            assert found == [(3, 2), (4, 3)], (order, len(statements))


def test_an_end_that_is_yet_to_come_hides_no_failure(session: psycopg.Connection) -> None:
    job = a_run(session, "close_job(%s)")
    for end in ("infinity", "2999-01-01"):
        session.execute("UPDATE jobmon.job_log SET end_time = %s, status = status WHERE job_id = %s", [end, job])
        failed = a_run(session, "fail_job(%s)")
        assert session.execute("SELECT job_id FROM jobmon.job_check_log").fetchall() == [(failed,)]
        a_run(session, "close_job(%s)")
        assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 0


def test_a_failure_whose_run_is_deleted_ends_with_the_next_success(session: psycopg.Connection) -> None:
    session.execute("DELETE FROM jobmon.job_log WHERE job_id = %s", [a_run(session, "fail_job(%s)")])
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 1
    a_run(session, "close_job(%s)")
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 0


@pytest.mark.parametrize("options", [[], ["--disable-triggers"]], ids=["plain", "disable-triggers"])
def test_a_restore_of_the_data_alone_keeps_the_failures(
    database: Database, session: psycopg.Connection, target: Database, options: list[str]
) -> None:
    success = a_run(session, "close_job(%s)", "2 days")
    failed = a_run(session, "fail_job(%s)", "1 day")
    # autovacuum or an UPDATE has put it behind the other on the disk
    session.execute("UPDATE jobmon.job_log SET owner = owner WHERE job_id = %s", [success])
    tables = [f"--table=jobmon.{table}" for table in ("job_log", "job_detail", "job_check_log")]
    assert harmless(copy(database, target, "--data-only", *tables, *options)) == []
    with target.connect() as restored:
        assert restored.execute("SELECT job_id, alert_code FROM jobmon.job_check_log").fetchall() == [(failed, 3)]


REFERENCE = "job_id bigint PRIMARY KEY REFERENCES jobmon.job_check_log"
KEEPS = {
    "no action": f"CREATE TABLE public.mine ({REFERENCE})",
    "restrict": f"CREATE TABLE public.mine ({REFERENCE} ON DELETE RESTRICT)",
    "deferred": f"CREATE TABLE public.mine ({REFERENCE} DEFERRABLE INITIALLY DEFERRED)",
    "set null": f"CREATE TABLE public.mine ({REFERENCE} ON DELETE SET NULL)",
    "chain": f"""
        CREATE TABLE public.mine ({REFERENCE} ON DELETE CASCADE);
        CREATE TABLE public.of_mine (job_id bigint REFERENCES public.mine)
    """,
}
"""Foreign keys by which a failure can't be deleted."""


@pytest.mark.parametrize("tables", KEEPS.values(), ids=KEEPS)
def test_no_job_fails_because_a_table_of_the_site_refers_to_its_failures(
    database: Database, session: psycopg.Connection, tables: str
) -> None:
    session.execute(tables.encode())
    failed = a_run(session, "fail_job(%s, 2)")
    session.execute("INSERT INTO public.mine VALUES (%s)", [failed])
    if "of_mine" in tables:
        session.execute("INSERT INTO public.of_mine VALUES (%s)", [failed])
    # one that fails once more is a failure once more
    session.execute("SELECT jobmon.fail_job(%s)", [failed])
    codes = "SELECT array_agg(alert_code ORDER BY job_id) FROM jobmon.job_check_log"
    assert value(session, codes) == [3]
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '2 days', true, 0)")
    for _ in range(2):
        assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT 1')").endswith("was successful")
        assert value(session, codes) == [1]
        assert database.check().status == 0
        assert database.ctl("ack", "-y", "etl").stdout.startswith("nothing to acknowledge")
    a_run(session, "fail_job(%s)")
    assert value(session, codes) == [1, 3]
    assert database.check().status == 2
    session.execute("DROP TABLE public.mine CASCADE")
    a_run(session, "close_job(%s)")
    assert value(session, codes) is None


def test_a_reference_that_goes_with_the_failure_keeps_nothing(session: psycopg.Connection) -> None:
    session.execute(f"CREATE TABLE public.mine ({REFERENCE} ON DELETE CASCADE)".encode())
    session.execute("INSERT INTO public.mine VALUES (%s)", [a_run(session, "fail_job(%s)")])
    a_run(session, "close_job(%s)")
    assert (
        value(session, "SELECT (SELECT count(*) FROM public.mine) + (SELECT count(*) FROM jobmon.job_check_log)") == 0
    )


def test_a_sensitivity_below_zero_is_refused(session: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '2 days', true, -1)")
