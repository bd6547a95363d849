"""pg_jobmon's own tables, of any version from 1.0 to 1.5: judged as they are, without a write, in one pass at most.

The tables are made here from what its users see of them: columns and indexes. Nothing of the extension itself is used.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from check_jobmon.judging.job import Job, Words
from check_jobmon.schema.scripts import columns_of, job_status
from tests.database import Database, Output, until, value

NEVER = timedelta(days=36500)


@dataclass(frozen=True)
class Variant:
    """In what the versions differ, as far as the plugin can see."""

    texts: str
    escalate: bool
    mapping: str

    def create(self, session: psycopg.Connection) -> None:
        """Make the tables."""
        session.execute(self.script().encode())

    def script(self) -> str:
        """The tables, with pg_jobmon's indexes and no more."""
        return f"""
            CREATE SCHEMA jobmon;
            CREATE TABLE jobmon.job_log (
                job_id bigint PRIMARY KEY,
                owner text NOT NULL,
                job_name text NOT NULL,
                start_time timestamptz NOT NULL,
                end_time timestamptz,
                status text,
                pid integer NOT NULL
            );
            CREATE INDEX ON jobmon.job_log (job_name);
            CREATE INDEX ON jobmon.job_log (start_time);
            CREATE INDEX ON jobmon.job_log (status);
            CREATE INDEX ON jobmon.job_log (pid);
            CREATE TABLE jobmon.job_detail (
                job_id bigint NOT NULL REFERENCES jobmon.job_log ON DELETE CASCADE,
                step_id bigint NOT NULL,
                action text NOT NULL,
                start_time timestamptz NOT NULL,
                end_time timestamptz,
                elapsed_time real,
                status text,
                message text,
                PRIMARY KEY (job_id, step_id)
            );
            CREATE TABLE jobmon.job_check_config (
                job_name text PRIMARY KEY,
                warn_threshold interval NOT NULL,
                error_threshold interval NOT NULL,
                active boolean NOT NULL DEFAULT false,
                sensitivity smallint NOT NULL DEFAULT 0
                {", escalate text" if self.escalate else ""}
            );
            CREATE TABLE jobmon.job_check_log (job_id bigint NOT NULL, job_name text NOT NULL, alert_code integer NOT NULL);
            CREATE TABLE jobmon.job_status_text ({self.texts}_code integer PRIMARY KEY, {self.texts}_text text NOT NULL);
            INSERT INTO jobmon.job_status_text VALUES (1, 'OK'), (2, 'WARNING'), (3, 'CRITICAL');
            CREATE TABLE jobmon.{self.mapping} (username text, port text, pwd text, host text);
            """


VARIANTS = [
    Variant("error", False, "dblink_mapping"),
    Variant("error", True, "dblink_mapping"),
    Variant("alert", False, "dblink_mapping"),
    Variant("alert", True, "dblink_mapping"),
    Variant("alert", True, "dblink_mapping_jobmon"),
]


def names_of(variant: Variant) -> str:
    """The variant, for a test's name."""
    return f"{variant.texts}-{'escalate' if variant.escalate else 'plain'}-{variant.mapping}"


@pytest.fixture(params=VARIANTS, ids=names_of)
def extension(request: pytest.FixtureRequest, empty_database: Database) -> Database:
    """A database with pg_jobmon's tables, of each variant."""
    with empty_database.connect() as session:
        request.param.create(session)
    return empty_database


@pytest.fixture
def newest(empty_database: Database) -> Database:
    """A database with the newest of these tables."""
    with empty_database.connect() as session:
        VARIANTS[-1].create(session)
    return empty_database


CONFIGURATION = [
    # name, warn, error, active, sensitivity
    ("NIGHTLY ETL", "1 day", "2 days", True, 1),
    ("LATE", "1 day", "2 days", True, 0),
    ("VERY LATE", "1 day", "2 days", True, 0),
    ("NEVER RUN", "1 day", "2 days", True, 0),
    ("LONG AGO", "1 day", "2 days", True, 0),
    ("FINE", "1 day", "2 days", True, 0),
    ("REJECTING", "1 day", "2 days", True, 0),
    ("CRASHED", "1 day", "2 days", True, 0),
    ("OVERLAPPING", "1 day", "2 days", True, 0),
    ("RUNNING", "0.01 s", "1 day", True, 0),
    ("RETIRED", "1 day", "2 days", False, 0),
    ("lower case", "1 day", "2 days", True, 0),
]
RUNS: list[tuple[str, str, str | None, str | None]] = [
    # name, started, ended, status
    ("NIGHTLY ETL", "25 hours", "24 hours", "CRITICAL"),
    ("NIGHTLY ETL", "65 minutes", "60.5 minutes", "CRITICAL"),
    ("LATE", "30 hours", "26 hours 5 min", "OK"),
    ("VERY LATE", "78 hours", "76 hours 5 min", "OK"),
    ("LONG AGO", "800 days", "799 days 23 hours 5 min", "OK"),
    ("FINE", "14 hours", "13 hours 5 min", "OK"),
    ("REJECTING", "14 hours", "13 hours 5 min", "WARNING"),
    ("CRASHED", "14 hours", "13 hours 5 min", "OK"),
    ("CRASHED", "12 hours", None, None),
    ("OVERLAPPING", "40 hours", "13 hours 5 min", "OK"),
    ("OVERLAPPING", "20 hours", "19 hours 5 min", "OK"),
    ("RETIRED", "400 days", "399 days", "CRITICAL"),
    *[("INVENTORY SYNC", f"{n}4 hours", f"{n}3 hours 5 min", "CRITICAL") for n in (3, 2, 1)],
    ("STRAY", "90 days", None, None),
]


def write_history(session: psycopg.Connection, now: datetime | None = None) -> None:
    """The history above, and a run that goes on in this session; by hand, as no trigger is of interest here."""
    now = now or value(session, "SELECT now()")
    session.execute("SET session_replication_role = replica")
    for configuration in CONFIGURATION:
        session.execute(
            "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity)"
            " VALUES (%s, %s, %s, %s, %s)",
            configuration,
        )
    # of a job that has never run, the extension doesn't know since when it is configured
    session.execute(
        "DO $$BEGIN UPDATE jobmon.job_check_config SET since = '-infinity'; EXCEPTION WHEN undefined_column THEN NULL; END$$"
    )
    for job, (name, started, ended, status) in enumerate(RUNS, 1):
        session.execute(
            "INSERT INTO jobmon.job_log VALUES"
            " (%(job)s, 'etl', %(name)s, %(now)s - %(started)s::interval, %(now)s - %(ended)s::interval, %(status)s, 0)",
            {"job": job, "name": name, "now": now, "started": started, "ended": ended, "status": status},
        )
        session.execute(
            "INSERT INTO jobmon.job_detail VALUES"
            " (%(job)s, 2 * %(job)s, 'extract', now(), now(), 1, 'OK', '42 rows'),"
            " (%(job)s, 2 * %(job)s + 1, 'load facts', now(), now(), 2, %(status)s, 'said ' || %(status)s)",
            {"job": job, "status": status},
        )
        if status in ("WARNING", "CRITICAL"):
            code = 3 if status == "CRITICAL" else 2
            session.execute("INSERT INTO jobmon.job_check_log VALUES (%s, %s, %s)", [job, name, code])
    session.execute(
        "INSERT INTO jobmon.job_log VALUES (99, 'etl', 'RUNNING', clock_timestamp(), NULL, NULL, pg_backend_pid())"
    )
    until(lambda: value(session, "SELECT now() > start_time + interval '1 s' FROM jobmon.job_log WHERE job_id = 99"))


def write_both(ours: psycopg.Connection, theirs: psycopg.Connection) -> None:
    """The same history, by the same clock."""
    now = value(ours, "SELECT now()")
    write_history(ours, now)
    write_history(theirs, now)


def judgement(output: Output) -> list[str]:
    """The output without what differs between two checks: figures that go on, pids, and notes on speed."""
    text = re.sub(r"( age'|query)=[0-9.]+s", r"\1=", output.stdout)
    text = re.sub(r"pid \d+", "pid", re.sub(r"\b\d+s\b", "s", text))
    return [re.sub(r" +", " ", line) for line in text.splitlines() if not line.startswith("note: an index")]


def suggested(output: Output) -> list[str]:
    """The CREATE INDEX statements that the notes have, exactly as printed."""
    return re.findall(r"^note: .*?(CREATE INDEX .*)$", output.stdout, re.M)


def test_judged_as_our_own_schema_and_named_indexes_help(database: Database, extension: Database) -> None:
    with database.connect() as ours, extension.connect() as theirs:
        write_both(ours, theirs)
        expected = database.check("-vv")
        output = extension.check("-vv")
        assert judgement(output) == judgement(expected)
        assert output.first_line.startswith("JOBMON CRITICAL - 6 critical, 5 warning, 2 ok: ")
        assert (output.status, output.stderr) == (2, "")
        assert suggested(expected) == []
        assert len(suggested(output)) == 3
        for statement in suggested(output):
            theirs.execute(statement.encode())
        helped = extension.check("-vv")
        assert "note:" not in helped.stdout
        assert judgement(helped) == judgement(expected)


@pytest.mark.parametrize("gone", ["job_name", "start_time", "status", "pid", "all"])
def test_judged_the_same_whichever_index_is_missing(database: Database, newest: Database, gone: str) -> None:
    with database.connect() as ours, newest.connect() as theirs:
        write_both(ours, theirs)
        for name in ("job_name", "start_time", "status", "pid"):
            if gone in (name, "all"):
                theirs.execute(f"DROP INDEX jobmon.job_log_{name}_idx".encode())
        output = newest.check("-v")
        assert judgement(output) == judgement(database.check("-v"))
        for statement in suggested(output):
            theirs.execute(statement.encode())
        assert "note:" not in newest.check("-v").stdout


def rows(session: psycopg.Connection) -> dict[str, Any]:
    """All rows of all tables, with the marks that a write or a row lock would leave on them."""
    tables = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'jobmon' ORDER BY 1").fetchall()
    return {
        table: session.execute(
            f"SELECT ctid::text, xmin::text, xmax::text, t::text FROM jobmon.{table} AS t ORDER BY ctid".encode()
        ).fetchall()
        for (table,) in tables
    }


WRITES = """
    SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del)
      FROM pg_stat_user_tables
     WHERE schemaname = 'jobmon'
"""


def test_nothing_is_written(newest: Database) -> None:
    with newest.connect() as session:
        write_history(session)
    with newest.connect() as session:
        until(lambda: value(session, f"SELECT n_tup_ins FROM ({WRITES}) AS w(n_tup_ins)") > len(RUNS))
        before = rows(session), session.execute(WRITES).fetchone()
        schema = value(session, "SELECT string_agg(oid::text || relname, ',' ORDER BY oid) FROM pg_class")
        for arguments in ([], ["-vvv"], ["-j", "*"], ["-j", "FINE"], ["-j", "NO SUCH JOB"]):
            newest.check(*arguments)
        until(
            lambda: not value(session, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'check_jobmon'")
        )
        assert (rows(session), session.execute(WRITES).fetchone()) == before
        assert value(session, "SELECT string_agg(oid::text || relname, ',' ORDER BY oid) FROM pg_class") == schema


def test_the_report_reads_the_tables_as_they_are(extension: Database) -> None:
    with extension.connect() as session:
        write_history(session)
        output = extension.ctl("report", "-o", "-")
    assert (output.status, output.stderr) == (0, "")
    assert "FINE" in output.stdout
    assert 'class="running"' in output.stdout


def test_a_role_that_may_only_read_suffices(newest: Database) -> None:
    with newest.connect() as session:
        write_history(session)
        expected = newest.check("-v")
        session.execute(
            "CREATE ROLE watcher LOGIN; GRANT USAGE ON SCHEMA jobmon TO watcher; GRANT pg_monitor TO watcher"
        )
        tables = "job_log, job_detail, job_check_config, job_check_log, job_status_text"
        try:
            session.execute(f"GRANT SELECT ON {tables.replace('job_', 'jobmon.job_')} TO watcher".encode())
            assert judgement(newest.check("-v", "-U", "watcher")) == judgement(expected)
        finally:
            session.execute("DROP OWNED BY watcher; DROP ROLE watcher")


# The three ways of job_status.sql to find runs


@pytest.fixture
def log(newest: Database) -> Iterator[psycopg.Connection]:
    """A transaction, so that all look at the log at one now(), of a role that sees no other session's backend_start.

    So a run of this session counts as alive whenever it says that it has started.
    """
    with newest.connect(autocommit=False) as session:
        session.execute("CREATE ROLE half_blind")
        session.execute(
            "GRANT USAGE ON SCHEMA jobmon TO half_blind; GRANT SELECT ON ALL TABLES IN SCHEMA jobmon TO half_blind"
        )
        yield session
        session.rollback()


def random_history(log: psycopg.Connection, seed: int) -> None:
    """Jobs with all kinds of thresholds; runs that overlap, last longer than any threshold, are open, alive and dead."""
    chance = random.Random(seed)

    def some_time(longest: float) -> timedelta:
        """From seconds to days, as often short as long."""
        return timedelta(seconds=longest ** chance.random())

    alive = value(log, "SELECT pg_backend_pid()")
    job_id = 0
    longest = chance.choice([3600, 86400, 7 * 86400])
    with log.cursor() as cursor:
        for number in range(120):
            name = f"JOB {number:03}"
            if chance.random() < 0.7:
                warn = NEVER if chance.random() < 0.02 else some_time(longest)
                cursor.execute(
                    "INSERT INTO jobmon.job_check_config VALUES (%s, %s, %s, %s, %s)",
                    [name, warn, chance.choice([warn, 2 * warn, warn / 2]), chance.random() < 0.8, chance.randrange(3)],
                )
            for _ in range(chance.choice([0, 1, 2, 5, 12])):
                job_id += 1
                ago = some_time(14 * 86400)
                took = ago * chance.random()
                is_open = chance.random() < 0.3
                status = None if is_open else chance.choice(["OK", "OK", "OK", "WARNING", "CRITICAL"])
                cursor.execute(
                    "INSERT INTO jobmon.job_log VALUES (%s, 'me', %s, now() - %s, now() - %s::interval, %s, %s)",
                    [
                        job_id,
                        name,
                        ago,
                        None if is_open else ago - took,
                        status,
                        chance.choice([alive, 0]) if is_open else chance.choice([alive, 0, 1]),
                    ],
                )
                if status in ("WARNING", "CRITICAL") and chance.random() < 0.5:
                    code = 3 if status == "CRITICAL" else 2
                    cursor.execute("INSERT INTO jobmon.job_check_log VALUES (%s, %s, %s)", [job_id, name, code])


COLUMNS = columns_of(0)
"""What the extension has instead of what catalog.py looks for."""


def judged(log: psycopg.Connection, strategy: str, newest: bool = False) -> list[Job]:
    """What the check says, with that strategy."""
    rows = log.execute(
        job_status("jobmon", strategy=strategy, newest=newest, columns=COLUMNS, silences=False).encode()
    ).fetchall()
    return sorted(map(Job._make, rows), key=lambda job: job.name)


def essence(job: Job, strategy: str) -> Job:
    """The job, less what a window can't know of one that doesn't alert: a run that is longer than the window and ended
    after the one that is seen."""
    if strategy != "window" or job.alert_code > 1 or job.crashed:
        return job
    return job._replace(age=None, duration=None, done_job_id=None, done_end=None, status=None)


@pytest.mark.parametrize("seed", range(15))
def test_every_strategy_judges_alike(log: psycopg.Connection, seed: int) -> None:
    random_history(log, seed)
    log.execute("SET LOCAL ROLE half_blind")
    expected = judged(log, "index")
    assert len(expected) > 30
    assert len({job.alert_code for job in expected}) == 3
    assert any(job.crashed for job in expected)
    assert any(job.unverified for job in expected)
    for strategy in ("window", "scan"):
        found = judged(log, strategy)
        assert [job.name for job in found] == [job.name for job in expected]
        for job, other in zip(expected, found, strict=True):
            assert other.reason(Words()) == job.reason(Words()), f"{strategy}, {job.name}"
            assert essence(other, strategy) == essence(job, strategy), f"{strategy}, {job.name}"


CROWD = """
    INSERT INTO jobmon.job_check_config SELECT 'NEVER ' || n, '1 day', '2 days', true, 0 FROM generate_series(1, 500) AS n;
    INSERT INTO jobmon.job_log
    SELECT -n, 'me', 'BUSY', now() - n * interval '1 s', now() - n * interval '1 s', 'OK', 0
      FROM generate_series(0, 3990) AS n
"""
"""So many configured jobs that the newest runs are read at once, of which one job has most."""


@pytest.mark.parametrize("seed", range(5))
def test_the_newest_runs_spare_probes_and_change_nothing(log: psycopg.Connection, seed: int) -> None:
    random_history(log, seed)
    log.execute(CROWD.encode())
    log.execute("SET LOCAL ROLE half_blind")
    expected = judged(log, "index")
    assert len(expected) > 530
    assert judged(log, "index", newest=True) == expected
    rows = value(
        log,
        "SELECT count(DISTINCT r.job_name) FROM (SELECT job_name FROM jobmon.job_log WHERE end_time IS NOT NULL "
        "ORDER BY end_time DESC LIMIT 4000) AS r",
    )
    assert 1 < rows < value(log, "SELECT count(DISTINCT job_name) FROM jobmon.job_log WHERE end_time IS NOT NULL")


HUGE = """
    INSERT INTO jobmon.job_check_config SELECT 'JOB ' || n, '1 day', '2 days', true, 0 FROM generate_series(1, 50) AS n;
    INSERT INTO jobmon.job_log
    SELECT n, 'me', 'JOB ' || 1 + n % 50, now() - age, now() - age + interval '1 min', 'OK', 0
      FROM generate_series(1, 60000) AS n,
           LATERAL (SELECT (60001 - n) * interval '5 min' AS age) AS run;
    ANALYZE
"""


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The plan's nodes."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def test_the_window_is_read_once_and_the_rest_is_probed(newest: Database) -> None:
    with newest.connect() as session:
        session.execute(HUGE.encode())
        query = job_status("jobmon", strategy="window", columns=COLUMNS, silences=False)
        explained = value(session, f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}")
        plan = (json.loads(explained) if isinstance(explained, str) else explained)[0]["Plan"]
        window = value(session, "SELECT count(*) FROM jobmon.job_log WHERE start_time > now() - interval '2 days'")
    reads = [
        (
            node.get("Index Name", "none"),
            node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)),
        )
        for node in nodes(plan)
        if node.get("Relation Name") == "job_log" and node["Actual Loops"]
    ]
    assert all(index != "none" for index, _ in reads), reads
    assert sum(count for index, count in reads if "start_time" in index) == window
    # a probe by its number for the last run of each job, and for what is open
    assert sum(count for index, count in reads if "start_time" not in index) <= 2 * 50
