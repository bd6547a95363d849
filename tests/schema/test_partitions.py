"""A log whose tables are partitioned: where runs go, what clear drops, and how an existing log becomes one."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import psycopg
import pytest

from check_jobmon.demo.server import Server
from check_jobmon.schema.scripts import REFUSAL
from tests.database import Database, bootstrap, new_database, until, value
from tests.schema.test_dump import copy, harmless

PAST = """
    SELECT jobmon.make_partition(t, date_trunc('month', now(), 'UTC') - make_interval(months => %(n)s),
                                 date_trunc('month', now(), 'UTC') - make_interval(months => %(n)s - 1))
      FROM unnest(ARRAY['job_detail', 'job_log']) AS t
"""
OLD_RUN = """
    WITH run AS (
        INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
        SELECT 'me', %(name)s, t.t, CASE WHEN %(status)s <> '' THEN t.t + %(took)s::interval END,
               nullif(%(status)s, ''), %(pid)s
          FROM (SELECT date_trunc('month', now(), 'UTC') - make_interval(months => %(n)s) + interval '1 day') AS t(t)
     RETURNING job_id, start_time
    )
    INSERT INTO jobmon.job_detail (job_id, action, start_time)
    SELECT job_id, 'step', start_time + i * %(took)s::interval FROM run, generate_series(0, 1) AS i
 RETURNING job_id
"""
CLEAR = "SELECT jobmon.job_log_clear('1 day')"
DROPPED = """
    SELECT substring(message FROM 'partitions dropped: .*') FROM jobmon.job_detail
     WHERE starts_with(action, 'delete the runs') AND message ~ 'partitions dropped' ORDER BY step_id DESC
"""
PARTS = "SELECT count(*) FROM jobmon.partitions() WHERE ends < now()"
NAMES = "SELECT array_agg(job_name ORDER BY job_id) FROM jobmon.job_log WHERE job_name <> 'JOB LOG CLEAR'"
LOOSE = "SELECT count(*) FROM jobmon.job_detail AS d WHERE NOT EXISTS (SELECT FROM jobmon.job_log AS l WHERE l.job_id = d.job_id)"


@pytest.fixture(scope="module")
def partitioned(server: Server) -> Iterator[Database]:
    """A database to copy, whose log is partitioned by month, with partitions of the three months before this one."""
    with new_database(server, "template0") as database:
        assert database.ctl("bootstrap", "--partition", "month").status == 0
        with database.connect() as session:
            for n in (3, 2, 1):
                session.execute(PAST, {"n": n})
        yield database


@pytest.fixture
def monthly(server: Server, partitioned: Database) -> Iterator[Database]:
    """A copy of it, for one test."""
    with new_database(server, partitioned.name) as database:
        yield database


@pytest.fixture
def log(monthly: Database) -> Iterator[psycopg.Connection]:
    """A session in that copy."""
    with monthly.connect() as session:
        yield session


def old_run(
    log: psycopg.Connection, name: str, n: int, status: str = "OK", took: str = "1 minute", pid: int = 0
) -> int:
    """A run of two steps, begun n months ago; without a status it is open."""
    row = log.execute(OLD_RUN, {"name": name, "n": n, "status": status, "took": took, "pid": pid}).fetchone()
    assert row
    return int(row[0])


def place(log: psycopg.Connection, table: str = "job_log") -> list[tuple[Any, ...]]:
    """The partitions that rows are in."""
    return log.execute(f"SELECT DISTINCT tableoid::regclass::text FROM jobmon.{table} ORDER BY 1".encode()).fetchall()


def test_a_run_goes_to_the_partition_of_its_time_and_is_judged(monthly: Database, log: psycopg.Connection) -> None:
    log.execute("SELECT jobmon.sql_job('etl', 'SELECT 1/0')")
    month = value(log, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMM01')")
    assert place(log) == [(f"jobmon.job_log_{month}",)]
    assert place(log, "job_detail") == [(f"jobmon.job_detail_{month}",)]
    log.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '2 days', true)")
    assert "ETL failed" in monthly.check().stdout


@pytest.mark.parametrize("every", ["day", "week", "month"])
def test_partitions_follow_each_other_and_reach_into_the_future(empty_database: Database, every: str) -> None:
    assert empty_database.ctl("bootstrap", "--partition", every).status == 0
    with empty_database.connect() as log:
        bounds = log.execute("SELECT begins, ends FROM jobmon.partitions() ORDER BY begins").fetchall()
        assert [ends for _, ends in bounds[:-1]] == [begins for begins, _ in bounds[1:]]
        assert value(
            log, "SELECT %s <= now() AND %s > now() + ('2 ' || %s)::interval", bounds[0][0], bounds[-1][1], every
        )
        # the next ones, once time has gone by: as if the last had not been made
        last = value(log, "SELECT runs::text || ', ' || steps FROM jobmon.partitions() ORDER BY ends DESC LIMIT 1")
        log.execute(f"DROP TABLE {last}".encode())
        assert "made 1 partition " in empty_database.ctl("bootstrap").stdout
        assert log.execute("SELECT begins, ends FROM jobmon.partitions() ORDER BY begins").fetchall() == bounds


def test_a_run_without_a_partition_is_kept_and_moves_to_its_own_once_that_is_made(
    monthly: Database, log: psycopg.Connection
) -> None:
    for runs, steps in log.execute(
        "SELECT runs::text, steps::text FROM jobmon.partitions() WHERE ends > now()"
    ).fetchall():
        log.execute(f"DROP TABLE {runs}, {steps}".encode())
    # so that no call makes them
    log.execute("ALTER TABLE jobmon.partitioning RENAME TO hidden")
    log.execute("SELECT jobmon.sql_job('etl', 'SELECT 1/0')")
    log.execute("ALTER TABLE jobmon.hidden RENAME TO partitioning")
    assert place(log) == [("jobmon.job_log_default",)]
    before = log.execute("SELECT * FROM jobmon.job_log, jobmon.job_detail").fetchall()
    log.execute("DELETE FROM jobmon.job_check_log")
    assert monthly.ctl("bootstrap").status == 0
    assert "default" not in str(place(log) + place(log, "job_detail"))
    assert log.execute("SELECT * FROM jobmon.job_log, jobmon.job_detail").fetchall() == before
    # what was acknowledged stays so
    assert value(log, "SELECT count(*) FROM jobmon.job_check_log") == 0


def test_a_run_that_finds_no_partition_has_it_made(log: psycopg.Connection) -> None:
    for runs, steps in log.execute(
        "SELECT runs::text, steps::text FROM jobmon.partitions() WHERE ends > now()"
    ).fetchall():
        log.execute(f"DROP TABLE {runs}, {steps}".encode())
    job = value(log, "SELECT jobmon.add_job('etl')")
    assert "default" not in str(place(log))
    assert value(log, "SELECT count(*) FROM jobmon.partitions() WHERE ends > now()") == 3
    log.execute(
        "SELECT jobmon.update_step(jobmon.add_step(%(job)s, 'load'), 'OK', ''), jobmon.close_job(%(job)s)", {"job": job}
    )
    assert value(log, "SELECT status FROM jobmon.job_log WHERE job_id = %s", job) == "OK"


def test_a_role_without_rights_keeps_nobody_from_making_partitions(monthly: Database, log: psycopg.Connection) -> None:
    future = "SELECT runs::text, steps::text FROM jobmon.partitions() WHERE ends > now()"
    log.execute("CREATE ROLE nobody_here LOGIN")
    try:
        with monthly.connect(user="nobody_here") as nobody:
            nobody.execute(
                "SELECT pg_advisory_lock(oid::bigint) FROM pg_class WHERE relnamespace = 'jobmon'::regnamespace"
            )
            for call in ("SELECT jobmon.add_job('etl')", CLEAR):
                for runs, steps in log.execute(future.encode()).fetchall():
                    log.execute(f"DELETE FROM jobmon.job_log; DROP TABLE {runs}, {steps}".encode())
                log.execute(call.encode())
                assert len(log.execute(future.encode()).fetchall()) == 3, call
    finally:
        log.execute("DROP ROLE nobody_here")


def test_a_partition_that_somebody_has_detached_is_in_nobodys_way(monthly: Database, log: psycopg.Connection) -> None:
    bounds = log.execute("SELECT begins, ends FROM jobmon.partitions() ORDER BY begins").fetchall()
    future = log.execute("SELECT runs::text, steps::text FROM jobmon.partitions() WHERE ends > now()").fetchall()
    for number, (runs, steps) in enumerate(future):
        log.execute(f"ALTER TABLE jobmon.job_log DETACH PARTITION {runs}".encode())
        # or only one of the two
        if number:
            log.execute(f"ALTER TABLE jobmon.job_detail DETACH PARTITION {steps}".encode())
    # whatever the link's session has, in which the partitions are made
    log.execute(f"ALTER DATABASE {monthly.name} SET standard_conforming_strings = off".encode())
    log.execute(f"ALTER DATABASE {monthly.name} SET datestyle = 'SQL, DMY'".encode())
    log.execute(f"ALTER DATABASE {monthly.name} SET timezone = 'America/Sao_Paulo'".encode())
    value(log, "SELECT jobmon.sql_job('etl', 'SELECT 1')")
    assert monthly.ctl("clear", "-y", "1 year").status == 0
    assert "default" not in str(place(log) + place(log, "job_detail"))
    assert monthly.ctl("bootstrap").status == 0
    assert (
        log.execute("SELECT begins, ends FROM jobmon.partitions() WHERE steps IS NOT NULL ORDER BY begins").fetchall()
        == bounds
    )


def test_years_without_a_run_take_no_partition_for_each_of_their_days(
    monthly: Database, log: psycopg.Connection
) -> None:
    assert monthly.ctl("partition", "--every", "day").status == 0
    for runs, steps in log.execute("SELECT runs::text, steps::text FROM jobmon.partitions()").fetchall():
        log.execute(f"DROP TABLE {runs}, {steps}".encode())
    log.execute(PAST, {"n": 36})
    assert value(log, "SELECT jobmon.add_job('etl')") == 1
    assert value(log, "SELECT count(*) FROM jobmon.partitions()") == 10
    # what the default partition has caught gets its own all the same, in portions
    for runs, steps in log.execute(
        "SELECT runs::text, steps::text FROM jobmon.partitions() WHERE ends > now()"
    ).fetchall():
        log.execute(f"DROP TABLE {runs}, {steps}".encode())
    log.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid) SELECT 'me', 'OLD', now() - make_interval(days => i), 0"
        "  FROM generate_series(1, 15) AS i WHERE i <> 7"
    )
    assert place(log) == [("jobmon.job_log_default",)]
    assert "made 23 partitions" in monthly.ctl("bootstrap").stdout
    assert "default" not in str(place(log))
    assert len(place(log)) == 14


def test_no_id_is_given_that_a_run_of_another_partition_has(log: psycopg.Connection) -> None:
    last = max(old_run(log, f"OLD {n}", 2) for n in range(5))
    log.execute(
        "SELECT setval('jobmon.job_log_job_id_seq', 2, false), setval('jobmon.job_detail_step_id_seq', 2, false)"
    )
    job = value(log, "SELECT jobmon.add_job('new')")
    step = value(log, "SELECT jobmon.add_step(%s, 'step')", job)
    assert (job, step) == (last + 1, value(log, "SELECT max(step_id) FROM jobmon.job_detail"))
    for table, column in (("job_log", "job_id"), ("job_detail", "step_id")):
        assert value(log, f"SELECT count(*) = count(DISTINCT {column}) FROM jobmon.{table}")
    with pytest.raises(psycopg.errors.UniqueViolation, match="job_id 1 is another run's already"):
        log.execute(
            "INSERT INTO jobmon.job_log (job_id, owner, job_name, start_time, pid) VALUES (1, 'me', 'X', now(), 0)"
        )


def test_deleting_a_run_deletes_what_refers_to_it(log: psycopg.Connection) -> None:
    job = old_run(log, "ETL", 2, took="40 days")
    log.execute("INSERT INTO jobmon.past_run VALUES (gen_random_uuid(), %s)", [job])
    log.execute("DELETE FROM jobmon.job_log")
    assert value(log, "SELECT (SELECT count(*) FROM jobmon.job_detail) + (SELECT count(*) FROM jobmon.past_run)") == 0


def test_a_run_whose_start_is_corrected_keeps_what_refers_to_it(log: psycopg.Connection) -> None:
    job = old_run(log, "ETL", 2)
    log.execute("INSERT INTO jobmon.past_run VALUES (gen_random_uuid(), %s)", [job])
    before = place(log)
    log.execute("UPDATE jobmon.job_log SET start_time = start_time - interval '1 month'")
    assert place(log) != before
    assert value(log, "SELECT count(*) FROM jobmon.job_detail AS d JOIN jobmon.job_log AS l USING (job_id)") == 2
    assert value(log, "SELECT count(*) FROM jobmon.past_run") == 1


def test_clear_drops_the_partitions_of_which_nothing_is_kept(monthly: Database, log: psycopg.Connection) -> None:
    for n in (3, 3, 2, 1):
        old_run(log, "ETL", n)
    # its second step is in the next partition
    old_run(log, "LONG", 2, took="40 days")
    job = old_run(log, "SPOOLED", 2)
    log.execute("INSERT INTO jobmon.past_run VALUES (gen_random_uuid(), %s)", [job])
    old_run(log, "FAILED", 2, "CRITICAL")
    log.execute("SELECT jobmon.sql_job('today', 'SELECT 1')")
    log.execute(CLEAR)
    months = log.execute(
        "SELECT to_char(date_trunc('month', now(), 'UTC') - make_interval(months => n), 'YYYYMM01')"
        "  FROM generate_series(3, 1, -1) AS n"
    ).fetchall()
    # the last of them may have begun less than a day ago
    assert value(log, DROPPED).startswith(f"partitions dropped: job_log_{months[0][0]}, job_log_{months[1][0]}")
    assert value(log, NAMES) == ["TODAY"]
    assert value(log, "SELECT count(*) FROM jobmon.past_run") == 0
    assert value(log, LOOSE) == 0
    # a failure alerts although its run is gone
    assert value(log, "SELECT array_agg(job_name) FROM jobmon.job_check_log") == ["FAILED"]


def after_a_drop(log: psycopg.Connection, what: str) -> None:
    """Arrange that clear drops a partition, and then this happens as it deletes a run of another one, which has a run to keep."""
    for n in (3, 2):
        old_run(log, "ETL", n)
    log.execute("INSERT INTO jobmon.job_check_config VALUES ('YEARLY', '400 days', '500 days', true)")
    old_run(log, "YEARLY", 2)
    log.execute(
        f"CREATE FUNCTION public.before_delete() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {what}; END$$;"
        "CREATE TRIGGER t BEFORE DELETE ON jobmon.job_log FOR EACH ROW EXECUTE FUNCTION public.before_delete()".encode()
    )


def test_a_clear_that_fails_says_which_partitions_it_has_dropped(log: psycopg.Connection) -> None:
    after_a_drop(log, "RAISE 'not this one'")
    with pytest.raises(psycopg.errors.RaiseException, match="not this one"):
        log.execute(CLEAR)
    message = "SELECT message FROM jobmon.job_detail WHERE status = 'CRITICAL' ORDER BY step_id DESC LIMIT 1"
    assert re.fullmatch(
        r"runs deleted: 0; partitions dropped: job_log_\d{8}(, job_log_\d{8})*, then: not this one \[P0001\]",
        value(log, message),
    )


def test_a_clear_that_is_killed_has_said_which_partitions_it_has_dropped(
    monthly: Database, log: psycopg.Connection
) -> None:
    after_a_drop(
        log, "PERFORM pg_terminate_backend(pid) FROM jobmon.job_log WHERE job_name = 'JOB LOG CLEAR'; RETURN OLD"
    )
    first = value(log, "SELECT runs::text FROM jobmon.partitions() ORDER BY begins LIMIT 1").rpartition(".")[2]
    with pytest.raises(psycopg.errors.AdminShutdown), monthly.connect() as clearing:
        clearing.execute(CLEAR)
    assert re.fullmatch(rf"partitions dropped: {first}(, job_log_\d{{8}})*", value(log, DROPPED))


def test_loggers_do_not_wait_while_rows_are_deleted_one_by_one(log: psycopg.Connection) -> None:
    """What has to be deleted outside of a partition is deleted before the lock, in portions; then the partition is dropped."""
    insert = """
        INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
        SELECT 'me', %s, t + n * interval '1 second', t + n * interval '1 second' + %s::interval, 'OK', 0
          FROM generate_series(1, %s) AS n, (SELECT date_trunc('month', now(), 'UTC') - interval '3 months') AS t(t)
    """
    for name, took, runs in (
        ("ETL", "1 s", 300),
        ("CRASHED", None, 1001),
        ("LONG", "35 days", 20),
        ("PAST", "1 s", 20),
    ):
        log.execute(insert, [name, took, runs])
    log.execute(
        "INSERT INTO jobmon.past_run SELECT gen_random_uuid(), job_id FROM jobmon.job_log WHERE job_name = 'PAST'"
    )
    log.execute("CREATE TABLE public.deleted (name text, from_table text, locked boolean)")
    log.execute(
        "CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " INSERT INTO public.deleted SELECT to_jsonb(OLD) ->> 'job_name', TG_TABLE_NAME, EXISTS ("
        "   SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'jobmon.job_log'::regclass);"
        " RETURN NULL; END$$;"
        "CREATE TRIGGER note AFTER DELETE ON jobmon.job_log FOR EACH ROW EXECUTE FUNCTION public.note();"
        "CREATE TRIGGER note AFTER DELETE ON jobmon.past_run FOR EACH ROW EXECUTE FUNCTION public.note()"
    )
    log.execute("SELECT jobmon.job_log_clear(now() - date_trunc('month', now(), 'UTC') + interval '40 days')")
    assert value(log, NAMES) is None
    month = value(log, "SELECT to_char(date_trunc('month', now(), 'UTC') - interval '3 months', 'YYYYMM01')")
    assert value(log, "SELECT message FROM jobmon.job_detail WHERE message ~ 'dropped'") == (
        f"runs deleted: 1021; partitions dropped: job_log_{month}"
    )
    assert log.execute(
        "SELECT from_table = 'past_run', name, locked, count(*) FROM public.deleted GROUP BY 1, 2, 3 ORDER BY 1, 2"
    ).fetchall() == [
        (False, "CRASHED", False, 1001),
        (False, "LONG", False, 20),
        (True, None, False, 20),
    ]


def test_the_first_partition_of_an_existing_log_is_dropped_with_its_crashed_runs(log: psycopg.Connection) -> None:
    """It has no beginning."""
    for table, key in (("job_detail", "step_id"), ("job_log", "job_id")):
        log.execute(
            f"CREATE TABLE jobmon.{table}_old PARTITION OF jobmon.{table} (PRIMARY KEY ({key}))"
            " FOR VALUES FROM (MINVALUE) TO ('2001-01-01')".encode()
        )
    log.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)"
        " SELECT 'me', 'CRASHED', '2000-01-01'::timestamptz + n * interval '1 s', 0 FROM generate_series(1, 1001) AS n"
    )
    log.execute(CLEAR)
    assert value(log, DROPPED).startswith("partitions dropped: job_log_old")


@pytest.mark.parametrize("what", ["DETACH PARTITION {0}", "DETACH PARTITION {0}; DROP TABLE {0}"])
def test_a_partition_that_is_detached_meanwhile_is_not_dropped_with_the_log(
    monthly: Database, log: psycopg.Connection, what: str
) -> None:
    """Its runs stay, too, and the other partitions are dropped. The link's function is called directly, so that it waits."""
    for n in (3, 2, 1):
        old_run(log, "ETL", n)
    query = "SELECT runs::text, steps::text FROM jobmon.partitions() WHERE runs IS NOT NULL ORDER BY begins LIMIT 1"
    row = log.execute(query.encode()).fetchone()
    assert row
    runs, steps = row
    clearing = value(log, "SELECT jobmon.add_job('job log clear')")
    step = value(log, "SELECT jobmon.add_step(%s, 'delete the runs')", clearing)
    drop = "SELECT jobmon.link_drop(ARRAY['', '', '', '', %s, now()::text, '-infinity', %s])"
    with monthly.connect(autocommit=False) as other, monthly.connect() as link:
        other.execute(f"ALTER TABLE jobmon.job_detail {what.format(steps)}".encode())
        with ThreadPoolExecutor(1) as thread:
            dropped = thread.submit(value, link, drop, str(clearing), str(step))
            until(lambda: value(log, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
            other.commit()
            dropped.result()
    assert runs.rpartition(".")[2] not in value(log, DROPPED)
    assert value(log, PARTS) == 1
    assert value(log, f"SELECT count(*) FROM {runs}") == 1
    if "DROP" not in what:
        assert value(log, f"SELECT count(*) FROM {steps}") == 2


def test_clear_keeps_last_runs_open_runs_and_their_steps(monthly: Database, log: psycopg.Connection) -> None:
    log.execute("INSERT INTO jobmon.job_check_config VALUES ('YEARLY', '400 days', '500 days', true)")
    old_run(log, "YEARLY", 3)
    old_run(log, "ETL", 3)
    old_run(log, "ETL", 2)
    # of another server's backend, which can't be seen; its second step is in the next partition
    old_run(log, "OPEN", 2, "", took="35 days", pid=-1)
    old_run(log, "ETL", 1)
    log.execute(CLEAR)
    assert value(log, NAMES) == ["YEARLY", "OPEN"]
    assert value(log, "SELECT count(*) FROM jobmon.job_detail WHERE action = 'step'") == 4
    # both have runs to keep, and the third has a step of one
    assert log.execute(DROPPED).fetchall() == []
    assert value(log, PARTS) == 3
    log.execute("UPDATE jobmon.job_log SET end_time = start_time, status = 'OK', pid = 0 WHERE end_time IS NULL")
    log.execute("UPDATE jobmon.job_check_config SET active = false")
    log.execute(CLEAR)
    assert value(log, NAMES) is None
    assert value(log, LOOSE) == 0
    assert value(log, PARTS) == 0


def test_a_kept_runs_steps_stay_wherever_they_are(log: psycopg.Connection) -> None:
    """They may have been logged before its beginning, if a clock was set back, or after its end."""
    log.execute("INSERT INTO jobmon.job_check_config VALUES ('YEARLY', '400 days', '500 days', true)")
    job = old_run(log, "YEARLY", 2)
    for months in (3, 1):
        log.execute(
            "INSERT INTO jobmon.job_detail (job_id, action, start_time)"
            " VALUES (%s, 'step', date_trunc('month', now(), 'UTC') - make_interval(months => %s))",
            [job, months],
        )
    log.execute(CLEAR)
    assert value(log, "SELECT count(*) FROM jobmon.job_detail WHERE job_id = %s", job) == 4


def test_whoever_uses_one_partition_keeps_that_alone(monthly: Database, log: psycopg.Connection) -> None:
    for n in (3, 2, 1):
        old_run(log, "ETL", n)
    part = value(log, "SELECT steps::text FROM jobmon.partitions() ORDER BY begins LIMIT 1")
    with monthly.connect(autocommit=False) as reader:
        reader.execute(f"SELECT FROM {part}".encode())
        log.execute(CLEAR)
    assert value(log, PARTS) == 1
    assert value(log, "SELECT steps::text FROM jobmon.partitions() ORDER BY begins LIMIT 1") == part
    assert value(log, NAMES) is None


@pytest.mark.parametrize("stays", [False, True])
def test_a_reader_of_the_log_is_waited_for_but_not_long(
    monthly: Database, log: psycopg.Connection, stays: bool
) -> None:
    """jobmonctl, which shows the progress, is no such reader itself: it looks at what the clearing says, and counts no runs."""
    for n in (3, 2, 1):
        old_run(log, "ETL", n)
    asleep = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    looks = """
        SELECT count(*) = 1 FROM pg_stat_activity
         WHERE query LIKE '%%''JOB LOG CLEAR''%%end_time IS NULL%%' AND datname = current_database() AND pid <> pg_backend_pid()
    """
    with monthly.connect(autocommit=False) as reader, ThreadPoolExecutor(1) as pool:
        reader.execute("SELECT FROM jobmon.job_log")
        done = pool.submit(monthly.ctl, "clear", "-y", "1 day")
        until(lambda: value(log, looks))
        until(lambda: value(log, asleep))
        if not stays:
            reader.rollback()
        assert done.result().status == 0
    assert value(log, NAMES) is None
    assert (value(log, PARTS) == 3) is stays
    assert ("a lock on the log was in the way" in done.result().stdout) is stays


def test_a_partition_that_is_being_detached_is_not_dropped(monthly: Database, log: psycopg.Connection) -> None:
    """An interrupted DETACH CONCURRENTLY leaves it so. PostgreSQL allows that where there is no default partition."""
    if log.info.server_version < 140000:
        pytest.skip("PostgreSQL 13 can't detach concurrently")
    for n in (3, 2, 1):
        old_run(log, "ETL", n)
    log.execute("DROP TABLE jobmon.job_log_default, jobmon.job_detail_default")
    part = value(log, "SELECT runs::text FROM jobmon.partitions() ORDER BY begins LIMIT 1")
    with monthly.connect(autocommit=False) as reader:
        reader.execute("SELECT FROM jobmon.job_log")
        with monthly.connect() as other, ThreadPoolExecutor(1) as pool:
            detached = pool.submit(
                other.execute, f"ALTER TABLE jobmon.job_log DETACH PARTITION {part} CONCURRENTLY".encode()
            )
            until(lambda: value(log, "SELECT count(*) = 1 FROM pg_inherits WHERE inhdetachpending"))
            other.cancel()
            with pytest.raises(psycopg.errors.QueryCanceled):
                detached.result()
    log.execute(CLEAR)
    assert value(log, PARTS) == 0
    assert value(log, f"SELECT count(*) FROM {part}") == 1


def test_clear_drops_partitions_whatever_plans_the_database_makes(monthly: Database, log: psycopg.Connection) -> None:
    old_run(log, "ETL", 3)
    log.execute(f"ALTER DATABASE {monthly.name} SET plan_cache_mode = force_generic_plan".encode())
    assert monthly.ctl("clear", "-y", "1 day").status == 0
    assert value(log, PARTS) == 0


def test_the_runs_of_other_jobs_are_not_read_to_find_those_to_keep(log: psycopg.Connection) -> None:
    """However many of them have ended lately."""
    if log.info.server_version < 150000:
        pytest.skip("PostgreSQL 14 and older tell much later what was read")
    log.execute(
        "INSERT INTO jobmon.job_check_config SELECT 'J' || n, '400 d', '500 d', true FROM generate_series(1, 50) AS n"
    )
    log.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " SELECT 'me', CASE WHEN n > 50 THEN 'OTHER' ELSE 'J' || n END, t, t, 'OK', 0"
        "   FROM generate_series(1, 1000) AS n,"
        "        LATERAL (SELECT CASE WHEN n > 50 THEN now() ELSE now() - interval '40 d' END) AS r(t)"
    )
    log.execute("ANALYZE")
    for statement in ("SELECT pg_stat_force_next_flush()", "SELECT pg_stat_reset()"):
        log.execute(statement.encode())
    assert value(log, "SELECT count(*) FROM jobmon.job_log_kept_before(now() - interval '9 d')") == 50
    log.execute("SELECT pg_stat_force_next_flush()")
    read = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname ~ '^job_log_'"
    assert (
        value(log, read) + value(log, "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname ~ '^job_log_'")
        < 950
    )


def test_what_is_kept_is_the_same_wherever_it_is_looked_for(log: psycopg.Connection) -> None:
    random = Random(19)
    log.execute(
        "INSERT INTO jobmon.job_check_config SELECT 'JOB ' || n, '150 days', '200 days', n % 7 > 0, 0, '-infinity'"
        "  FROM generate_series(0, 59) AS n"
    )
    log.execute("UPDATE jobmon.job_check_config SET schedule = '0 3 * * *' WHERE job_name LIKE 'JOB %5'")
    warning = value(log, "SELECT alert_text FROM jobmon.job_status_text WHERE alert_code = 2")
    for n in range(60):
        for months in range(4):
            for _ in range(random.choice([0, 1, 2])):
                status = random.choice(["OK", "CRITICAL", warning, ""])
                job = old_run(
                    log,
                    f"JOB {n}",
                    months,
                    status,
                    random.choice(["1 second", "1 minute", "40 days", "-80 days", "9000 years"]),
                )
                if random.random() < 0.3:
                    log.execute("UPDATE jobmon.job_detail SET action = %s WHERE job_id = %s", [REFUSAL, job])
    every, kept = (
        "SELECT * FROM jobmon.job_log_kept() WHERE start_time < %s",
        "SELECT * FROM jobmon.job_log_kept_before(%s)",
    )
    for days in (0, 10, 31, 45, 75, 100):
        before = value(log, "SELECT now() - make_interval(days => %s)", days)
        expected = set(log.execute(every, [before]).fetchall())
        assert set(log.execute(kept, [before]).fetchall()) == expected
        assert expected


def test_clear_gives_back_the_lock_on_partitions_that_it_keeps(monthly: Database, log: psycopg.Connection) -> None:
    """The link's function is called directly, so that its transaction stays open."""
    for n in (3, 2, 1):
        old_run(log, "OPEN", n, "", pid=-1)
    clearing = value(log, "SELECT jobmon.add_job('job log clear')")
    locked = """
        SELECT count(*) FROM pg_locks
         WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation' AND pid = pg_backend_pid()
    """
    drop = "SELECT jobmon.link_drop(ARRAY['', '', '', '', %s, now()::text, %s])"
    with monthly.connect(autocommit=False) as link:
        last = value(link, drop, str(clearing), "-infinity")
        assert value(link, f"SELECT max(ends) = %s FROM ({PARTS.replace('count(*)', '*')}) AS p", last)
        assert value(link, locked) == 0
    log.execute("DELETE FROM jobmon.job_log WHERE job_name = 'OPEN'")
    with monthly.connect(autocommit=False) as link:
        value(link, drop, str(clearing), "-infinity")
        assert value(link, locked) > 0
    assert value(log, PARTS) < 3


def test_clear_deletes_in_batches_what_it_can_not_drop(monthly: Database, log: psycopg.Connection) -> None:
    old_run(log, "ETL", 2)
    part = value(log, "SELECT runs::text FROM jobmon.partitions() ORDER BY begins OFFSET 1 LIMIT 1")
    with monthly.connect(autocommit=False) as reader:
        reader.execute(f"SELECT FROM {part}".encode())
        log.execute(CLEAR)
        assert value(log, NAMES) is None
    log.execute(f"CREATE VIEW public.mine AS TABLE {part}".encode())
    log.execute(CLEAR)
    assert value(log, PARTS) == 1


def test_whole_partitions_go_however_many_runs_they_have(log: psycopg.Connection) -> None:
    for n in (3, 2, 1):
        log.execute(
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
            " SELECT 'me', 'ETL', t, t, 'OK', 1 FROM generate_series(1, 1100), (SELECT date_trunc('month', now(), 'UTC')"
            " - make_interval(months => %s)) AS t(t)",
            [n],
        )
    log.execute("CREATE TABLE public.deleted (n bigint)")
    log.execute(
        "CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO public.deleted VALUES (OLD.job_id); RETURN NULL; END$$;"
        " CREATE TRIGGER note AFTER DELETE ON jobmon.job_log FOR EACH ROW EXECUTE FUNCTION public.note()"
    )
    log.execute("SELECT jobmon.job_log_clear('40 days')")
    # none of those in the oldest partition was deleted by itself
    assert value(log, "SELECT count(*) FROM public.deleted WHERE n <= 1100") == 0
    assert value(log, "SELECT min(job_id) FROM jobmon.job_log") > 1100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON {0} FOR EACH ROW EXECUTE FUNCTION jobmon.job_log_alert()", "trigger t of"),
        ("ALTER TABLE {0} OWNER TO stranger", 'belongs to role "stranger"'),
        ("GRANT TRIGGER ON {0} TO stranger", "right of stranger to make triggers on"),
        ("CREATE RULE r AS ON INSERT TO {0} DO ALSO SELECT 1", "rule r of"),
        ("ALTER TABLE {0} ENABLE ROW LEVEL SECURITY", "is not check_jobmon's"),
        (
            "CREATE TABLE public.x PARTITION OF jobmon.job_log FOR VALUES FROM ('2001-01-01') TO ('2002-01-01')",
            "is inherited by",
        ),
    ],
)
def test_what_bootstrap_refuses_on_a_table_it_refuses_on_a_partition(
    monthly: Database, log: psycopg.Connection, change: str, said: str
) -> None:
    log.execute("CREATE ROLE stranger")
    try:
        part = value(log, "SELECT runs::text FROM jobmon.partitions() ORDER BY begins LIMIT 1")
        log.execute(change.format(part).encode())
        done = monthly.ctl("bootstrap")
        assert done.status == 1
        assert said in done.stderr
    finally:
        log.execute("DROP OWNED BY stranger CASCADE; DROP ROLE stranger")


def test_partitions_that_somebody_else_makes_are_as_good(monthly: Database, log: psycopg.Connection) -> None:
    """Bootstrap has nothing to repair in them, nor where a run was logged and partitions were dropped."""
    log.execute("DELETE FROM jobmon.partitioning")
    log.execute(
        "CREATE TABLE jobmon.job_log_p2001 PARTITION OF jobmon.job_log (PRIMARY KEY (job_id))"
        " FOR VALUES FROM ('2001-01-01') TO ('2002-01-01')"
    )
    log.execute(
        "ALTER TABLE jobmon.job_log_p2001 ADD CHECK (start_time > '2000-01-01'); CREATE INDEX ON jobmon.job_log_p2001 (owner)"
    )
    assert monthly.ctl("bootstrap").status == 0
    old_run(log, "OLD", 2)
    log.execute("SELECT jobmon.sql_job('etl', 'SELECT 1/0')")
    log.execute(CLEAR)
    assert value(log, PARTS) == 1  # the one for whose steps there is none
    assert value(log, NAMES) == ["ETL"]
    assert monthly.ctl("bootstrap", "--check").status == 0


def test_a_dump_of_a_partitioned_log_is_one_again(
    monthly: Database, log: psycopg.Connection, empty_database: Database
) -> None:
    log.execute("SELECT jobmon.sql_job('etl', 'SELECT 1/0')")
    before = log.execute("SELECT * FROM jobmon.job_log, jobmon.job_detail").fetchall()
    assert harmless(copy(monthly, empty_database)) == []
    assert empty_database.ctl("bootstrap").status == 0
    with empty_database.connect() as restored:
        assert restored.execute("SELECT * FROM jobmon.job_log, jobmon.job_detail").fetchall() == before
        assert value(restored, "SELECT jobmon.add_job('new')") == before[0][0] + 1
        assert value(restored, "SELECT count(*) FROM jobmon.partitions() WHERE ends > now()") > 2
    assert "up to date" in empty_database.ctl("bootstrap").stdout


@pytest.fixture(scope="module")
def with_runs(server: Server) -> Iterator[Database]:
    """A database to copy, whose log is not partitioned and has a few runs."""
    with new_database(server, "template0") as database:
        assert database.ctl("bootstrap").status == 0
        with database.connect() as session:
            for _ in range(3):
                session.execute("SELECT jobmon.sql_job('etl', 'SELECT 1/0')")
        yield database


@pytest.fixture
def whole(server: Server, with_runs: Database) -> Iterator[Database]:
    """A copy of it, for one test."""
    with new_database(server, with_runs.name) as database:
        yield database


@pytest.fixture
def complete(plain: psycopg.Connection) -> psycopg.Connection:
    """The same, where bootstrap has nothing left to do: a copy has no link's role of its own yet."""
    bootstrap(plain, "jobmon")
    return plain


@pytest.fixture
def plain(whole: Database) -> Iterator[psycopg.Connection]:
    """A session in that copy."""
    with whole.connect() as session:
        yield session


def test_an_existing_log_becomes_partitioned_while_jobs_are_logged(
    whole: Database, complete: psycopg.Connection
) -> None:
    complete.execute("CREATE ROLE part_reader; GRANT SELECT ON jobmon.job_log TO part_reader WITH GRANT OPTION")
    complete.execute("GRANT EXECUTE ON FUNCTION jobmon.show_job(text, integer), jobmon.add_job(text) TO part_reader")
    complete.execute("ALTER TABLE jobmon.job_log ADD team text; CREATE INDEX mine ON jobmon.job_log (owner)")
    complete.execute("ALTER SEQUENCE jobmon.job_detail_step_id_seq INCREMENT 7")
    try:
        before = complete.execute("SELECT * FROM jobmon.job_log, jobmon.job_detail ORDER BY 1").fetchall()
        over = threading.Event()

        def jobs(number: int) -> int:
            done = 0
            with whole.connect() as caller:
                while not over.is_set():
                    caller.execute("SELECT jobmon.sql_job(%s, 'SELECT 1')", [f"job {number}"])
                    done += 1
                    over.wait(0.03)
            return done

        with ThreadPoolExecutor(3) as pool:
            try:
                loggers = [pool.submit(jobs, number) for number in range(3)]
                done = whole.ctl("partition", "--every", "week")
                seen = value(complete, "SELECT count(*) FROM jobmon.job_log")
                until(lambda: value(complete, "SELECT count(*) FROM jobmon.job_log") > seen + 8)
            finally:
                over.set()
            logged = sum(logger.result() for logger in loggers)
        assert (done.status, done.stderr) == (0, "")
        assert done.stdout == (
            f'partitioned schema "jobmon" of database "{whole.name}" by week; what was logged so far is in job_log_old '
            "and job_detail_old\n"
        )
        assert value(complete, "SELECT count(*) FROM jobmon.job_log WHERE job_name LIKE 'JOB %%'") == logged
        assert value(complete, "SELECT count(*) FROM jobmon.job_log WHERE end_time IS NULL") == 0
        assert value(complete, "SELECT count(*) = count(DISTINCT job_id) FROM jobmon.job_log")
        kept = complete.execute(
            "SELECT * FROM jobmon.job_log AS l, jobmon.job_detail WHERE l.job_id <= 3 ORDER BY 1"
        ).fetchall()
        assert [row for row in kept if row in before] == before
        assert value(
            complete, "SELECT has_table_privilege('part_reader', 'jobmon.job_log', 'SELECT WITH GRANT OPTION')"
        )
        assert value(
            complete, "SELECT has_function_privilege('part_reader', 'jobmon.show_job(text, integer)', 'EXECUTE')"
        )
        assert value(complete, "SELECT to_regclass('jobmon.mine') IS NOT NULL")
        assert (
            value(
                complete,
                "SELECT seqincrement FROM pg_sequence WHERE seqrelid = 'jobmon.job_detail_step_id_seq'::regclass",
            )
            == 7
        )
        assert "ETL failed 3 times" in whole.check().stdout
        assert "up to date" in whole.ctl("bootstrap").stdout
        # then, how long the next ones are can be changed
        assert "are made by month" in whole.ctl("partition", "--every", "month").stdout
        assert value(complete, "SELECT every FROM jobmon.partitioning") == "month"
    finally:
        complete.execute("DROP OWNED BY part_reader; DROP ROLE part_reader")


def test_what_would_go_on_using_the_old_tables_is_named(whole: Database, plain: psycopg.Connection) -> None:
    plain.execute("CREATE VIEW public.mine AS SELECT job_id FROM jobmon.job_log")
    plain.execute("CREATE PUBLICATION log FOR TABLE jobmon.job_log")
    plain.execute("CREATE TABLE public.theirs (job_id bigint REFERENCES jobmon.job_log)")
    plain.execute("CREATE FUNCTION public.f() RETURNS SETOF jobmon.job_log LANGUAGE sql AS 'TABLE jobmon.job_log'")
    done = whole.ctl("partition", "--every", "month")
    assert (done.status, done.stdout) == (1, "")
    for name in (
        "view public.mine",
        "publication log",
        "constraint theirs_job_id_fkey on table public.theirs",
        "function public.f()",
    ):
        assert name in done.stderr
    assert value(plain, "SELECT relkind::text FROM pg_class WHERE oid = 'jobmon.job_log'::regclass") == "r"


def test_a_transaction_that_has_logged_is_waited_for_and_named(whole: Database, complete: psycopg.Connection) -> None:
    with whole.connect(autocommit=False, application_name="nightly") as caller:
        caller.execute("SELECT jobmon.add_job('long')")
        done = whole.ctl("partition", "--every", "month", "--timeout", "1")
        assert done.status == 1
        assert 'application "nightly"' in done.stderr
        assert "nothing was changed" in done.stderr
        caller.execute("SELECT jobmon.close_job(4)")
    assert value(complete, "SELECT count(*) FROM pg_constraint WHERE conname LIKE '%%_upto'") == 0
    assert whole.ctl("partition", "--every", "month").status == 0
    assert value(complete, "SELECT count(*) FROM jobmon.job_log_old") == 4


def test_an_interrupted_partition_has_changed_nothing_and_can_be_called_again(
    whole: Database, complete: psycopg.Connection
) -> None:
    upto = "SELECT count(*) FROM pg_constraint WHERE conname LIKE '%%_upto'"
    command = [sys.executable, "-m", "check_jobmon.ctl", "partition", *whole.options, "--every", "month"]
    for number in (signal.SIGINT, signal.SIGKILL):
        with whole.connect(autocommit=False) as caller:
            job = value(caller, "SELECT jobmon.add_job('long')")
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                # then it waits for the caller's transaction
                until(lambda: value(complete, upto) == 2)
                process.send_signal(number)
                said = process.communicate(timeout=60)
        if number == signal.SIGINT:
            assert (process.returncode, *said) == (1, "", "jobmonctl: interrupted\n")
            assert value(complete, upto) == 0
        assert value(complete, "SELECT jobmon.sql_job('etl', 'SELECT 1')") == f"job {job + 1} (ETL) was successful"
    assert whole.ctl("partition", "--every", "month").status == 0
    assert value(complete, upto) == 0
    assert value(complete, "SELECT count(*) FROM jobmon.job_log_old") == job + 1


def test_of_two_at_once_one_partitions_the_log_and_bootstrap_finds_no_fault_meanwhile(
    whole: Database, complete: psycopg.Connection
) -> None:
    # as a database may have it that lies in a tablespace of its own
    complete.execute(f"ALTER DATABASE {whole.name} SET default_tablespace = pg_default".encode())
    waiting = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%%job_id_seq NO CYCLE%%' AND pid <> pg_backend_pid()"
    seen = set()
    with whole.connect(autocommit=False) as caller, ThreadPoolExecutor() as pool:
        caller.execute("SELECT jobmon.add_job('long')")
        both = [pool.submit(whole.ctl, "partition", "--every", every) for every in ("month", "week")]

        def both_wait() -> bool:
            seen.update(complete.execute(waiting.encode()).fetchall())
            return len(seen) == 2

        until(both_wait)
        caller.execute("SELECT jobmon.close_job(4)")
        caller.commit()
        for _ in range(2):
            bootstrap(complete, "jobmon")
        done = sorted((one.result() for one in both), key=lambda one: one.status)
    assert [one.status for one in done] == [0, 1]
    assert done[0].stdout.startswith("partitioned schema")
    assert (
        done[1].stderr == "jobmonctl partition: nothing was changed, because another jobmonctl partition was faster\n"
    )
    assert value(complete, "SELECT count(*) FROM pg_constraint WHERE conname LIKE '%%_upto'") == 0
    assert "made" not in whole.ctl("bootstrap").stdout


def test_a_run_in_the_future_is_named(whole: Database, plain: psycopg.Connection) -> None:
    plain.execute("UPDATE jobmon.job_log SET start_time = now() + interval '90 days' WHERE job_id = 2")
    done = whole.ctl("partition", "--every", "week")
    assert done.status == 1
    assert "jobmon.job_log has rows whose start_time is after " in done.stderr
    assert value(plain, "SELECT count(*) FROM pg_constraint WHERE conname LIKE '%%_upto'") == 0


def test_what_a_killed_partition_left_behind_refuses_no_run(whole: Database, plain: psycopg.Connection) -> None:
    for table in ("job_log", "job_detail"):
        plain.execute(
            f"ALTER TABLE jobmon.{table} ADD CONSTRAINT {table}_upto CHECK (start_time < '2001-01-01') NOT VALID".encode()
        )
    assert whole.ctl("bootstrap").status == 0
    assert value(plain, "SELECT jobmon.sql_job('etl', 'SELECT 1')") == "job 4 (ETL) was successful"


def test_bootstrap_says_how_to_partition_an_existing_log(whole: Database, plain: psycopg.Connection) -> None:
    done = whole.ctl("bootstrap", "--partition", "day")
    assert (done.status, done.stdout) == (1, "")
    assert 'has a log that is not partitioned: run "jobmonctl partition --every day"' in done.stderr
