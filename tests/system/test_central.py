"""contrib/central: the logs of three servers in one, by logical replication, and what one server may do there."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from check_jobmon.demo.server import Server, wheel_binaries
from tests import servers
from tests.database import Database, run_module, value
from tests.system.conftest import log_run
from tests.test_readme import literal_blocks

ROOT = Path(__file__).parents[2]
CENTRAL, GUIDE = ROOT / "contrib/central", ROOT / "docs/guides/central-log.rst"
NAMES = ("WEB1", "WEB2", "WEB3")


class Site(NamedTuple):
    """The servers, and the central one."""

    webs: list[Database]
    central: Database


def psql(database: Database, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """What a person would do with these files."""
    where = ["-h", str(database.server.folder), "-p", str(database.server.port), "-U", "postgres", "-d", database.name]
    command = [str(wheel_binaries() / "psql"), "-X", "-q", *where, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def until(what: Callable[[], object]) -> None:
    """Wait until it is true."""
    end = time.monotonic() + 90
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def names(central: Database) -> list[str]:
    """The jobs of all runs there, in order."""
    with central.connect() as session:
        return [row[0] for row in session.execute("SELECT job_name FROM jobmon.job_log ORDER BY 1")]


def ids(database: Database) -> set[int]:
    """Those of the runs there."""
    with database.connect() as session:
        return {row[0] for row in session.execute("SELECT job_id FROM jobmon.job_log")}


def subscribe(session: psycopg.Connection, name: str, where: str, how: str) -> None:
    """Make that subscription."""
    session.execute(f"CREATE SUBSCRIPTION {name} CONNECTION '{where}' PUBLICATION jobmon_central WITH ({how})".encode())


def guide(site: Site, number: int, words: str) -> str:
    """What the guide's block with these words gives on the central server, said of the server of that number."""
    (block,) = [block for block in literal_blocks(GUIDE) if words in block]
    web, passfile = site.webs[number - 1], site.central.server.folder / f"pgpass{number}"
    where = f"host=127.0.0.1 port={web.server.port} dbname=postgres user=jobmon_central passfile={passfile}"
    said = re.sub("CONNECTION '.*'", f"CONNECTION '{where}'", block).replace("% 1000 = 1", f"% 1000 = {number}")
    said = said.replace("(1, 'WEB1'", f"({number}, '{NAMES[number - 1]}'").replace("web1", f"web{number}")
    # each by itself: DROP SUBSCRIPTION can't be in a transaction
    done = psql(site.central, "-At", *(f"-c{one}" for one in said.split(";") if one.strip()))
    assert "ERROR" not in done.stderr, done.stderr
    return done.stdout


def enable(central: Database, number: int) -> None:
    """As the guide has it."""
    assert psql(central, "-v", f"subscription=web{number}", "-f", str(CENTRAL / "enable.sql")).stderr == ""


@pytest.fixture(scope="module")
def bootstrapped(server: Server) -> Iterator[dict[str, Server]]:
    """Stopped servers to copy, which have each kind of log."""
    made = {kind: Server(server.binaries, tcp=True) for kind in ("plain", "partitioned")}
    try:
        for kind, one in made.items():
            servers.create(one)
            one.start()
            options = ["--partition", "month"] if kind == "partitioned" else []
            assert Database(one, "postgres").ctl("bootstrap", *options).status == 0
            one.stop()
        yield made
    finally:
        for one in made.values():
            one.remove()


@pytest.fixture(params=["plain", "partitioned"])
def site(server: Server, bootstrapped: dict[str, Server], request: pytest.FixtureRequest) -> Iterator[Site]:
    """Three servers whose runs are copied to a fourth. One has a partitioned log; so has the fourth if the test says so."""
    workers = {"max_logical_replication_workers": "12", "max_worker_processes": "20", "wal_level": "logical"}
    workers["wal_retrieve_retry_interval"] = "200ms"
    made = [Server(server.binaries, workers, tcp=True) for _ in range(4)]
    made[1].settings = {**workers, "max_slot_wal_keep_size": "32MB"}
    try:
        for one, kind in zip(made, ("plain", "partitioned", "plain", request.param), strict=True):
            source = bootstrapped[kind]
            subprocess.run(["cp", "-a", "--reflink=auto", source.data, source.passfile, one.folder], check=True)
            one.start()
        webs, central = [Database(one, "postgres") for one in made[:3]], Database(made[3], "postgres")
        site = Site(webs, central)
        # a run of before, and one that is under way
        with webs[0].connect() as session:
            log_run(session, "old")
            session.execute("SELECT jobmon.add_job('under way')")
        assert psql(central, "-f", str(CENTRAL / "central.sql")).stderr == ""
        for number, web in enumerate(webs, 1):
            assert psql(web, "-v", f"number={number}", "-f", str(CENTRAL / "publish.sql")).stderr == ""
            with web.connect() as session:
                session.execute("CREATE ROLE jobmon_central LOGIN REPLICATION IN ROLE jobmon_read PASSWORD 'x'")
            central.server._write(central.server.folder / f"pgpass{number}", "*:*:*:*:x\n")
            guide(site, number, "INSERT INTO")
            guide(site, number, "(enabled = false)")
            enable(central, number)
        yield site
    finally:
        for one in made:
            one.remove()


def all_is_well(site: Site) -> bool:
    """Whether the check finds nothing soon after all jobs have run."""
    beat(site.webs)
    for _ in range(5):
        if site.central.check().status == 0:
            return True
        time.sleep(0.2)
    return False


def configure(central: Database, limit: str, folder: Path) -> None:
    """As the guide has it for one server, with this limit instead of its own."""
    (block,) = [block for block in literal_blocks(GUIDE) if block.startswith("jobs:")]
    jobs = re.sub(r"(warn|error): \w+", rf"\1: {limit}", block.partition("\n")[2])
    more = [jobs.replace("WEB1", name).replace("ETL", job) for name in NAMES for job in ("ETL", "CUBE", "MAIL")]
    file = folder / "jobs.yml"
    file.write_text("jobs:\n" + "\n".join(dict.fromkeys(line for part in more for line in part.splitlines())))
    applied = run_module("check_jobmon.ctl", "config", "apply", str(file), *central.options)
    assert applied.status == 0, applied.stderr


def silent(central: Database, number: int) -> None:
    """As if nothing had come from this server for an hour."""
    with central.connect() as session:
        hour = "start_time = start_time - interval '1 hour', end_time = end_time - interval '1 hour'"
        session.execute(f"UPDATE jobmon.job_log SET {hour} WHERE job_id % 1000 = {number}".encode())


def beat(webs: list[Database]) -> None:
    """All jobs of these servers run."""
    for web in webs:
        with web.connect() as session:
            for job in ("heartbeat", "etl", "cube", "mail"):
                log_run(session, job)


@pytest.mark.parametrize("site", ["partitioned"], indirect=True)
def test_three_servers_are_one_log_and_what_is_silent_lost_or_restored_is_an_alert_and_mended(
    site: Site, tmp_path: Path
) -> None:
    """One after the other on the same servers, because to make these takes as long as either part."""
    three_servers_are_one_log_and_a_silent_server_is_one_alert(site, tmp_path)
    a_lost_slot_and_a_restored_server_are_mended_as_the_guide_says(site)


def three_servers_are_one_log_and_a_silent_server_is_one_alert(site: Site, tmp_path: Path) -> None:
    """On servers that have no other runs than the fixture's."""
    webs, central = site
    beat(webs)
    with webs[1].connect() as session:
        log_run(session, "failing", "no space")
        run = value(session, "SELECT jobmon.add_job('long')")
    each = ("CUBE", "ETL", "HEARTBEAT", "MAIL")
    expected = sorted([f"{name}: {job}" for name in NAMES for job in each] + ["WEB2: FAILING", "WEB2: LONG"])
    until(lambda: names(central) == expected)
    with central.connect() as session:
        # an open run of another server counts as alive; a failure is one
        assert value(session, "SELECT pid < 0 AND end_time IS NULL FROM jobmon.job_log WHERE job_name = 'WEB2: LONG'")
        failed = "SELECT array_agg(job_name) FROM jobmon.job_check_log"
        until(lambda: value(session, failed) == ["WEB2: FAILING"])
        step = "SELECT count(*) FROM jobmon.job_detail AS d JOIN jobmon.job_log AS l USING (job_id) WHERE d.status IS NOT NULL"
        until(lambda: value(session, step) > 0)
        # a schedule of here is due by what comes in
        session.execute(
            "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, schedule)"
            " VALUES ('WEB1: HOURLY', '1 minute', '2 minutes', true, '0 * * * *')"
        )
        with webs[0].connect() as there:
            log_run(there, "hourly")
        due = "SELECT next_due > now() FROM jobmon.job_log WHERE job_name = 'WEB1: HOURLY' AND end_time IS NOT NULL"
        until(lambda: session.execute(due).fetchone())
        assert value(session, due)
        session.execute("DELETE FROM jobmon.job_check_config")
    with webs[1].connect() as session:
        session.execute("SELECT jobmon.close_job(%s)", [run])
        log_run(session, "failing")
        log_run(session, "long")
        # what is deleted there is kept here
        session.execute("DELETE FROM jobmon.job_log")
    with central.connect() as session:
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_check_log") == 0)
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_log WHERE end_time IS NULL") == 0)
    assert len(names(central)) == len(expected) + 3
    # bootstrap, ack and the like work as anywhere
    assert central.ctl("bootstrap").status == 0

    # one server is stopped, and the subscription to another is off: only these, and each alerts once
    configure(central, "10m", tmp_path)
    webs[1].server.stop("immediate")
    with central.connect() as session:
        session.execute("ALTER SUBSCRIPTION web3 DISABLE")
    beat([webs[0], webs[2]])
    silent(central, 2)
    silent(central, 3)
    found = central.check()
    assert found.perfdata.startswith("critical=2 warning=0 ok=10")
    assert "waiting=6" in found.perfdata
    assert found.status == 2
    assert "WEB2: HEARTBEAT" in found.first_line
    assert "WEB3: HEARTBEAT" in found.first_line
    assert "ETL" not in found.first_line

    # both are back: nothing is lost or doubled
    webs[1].server.start()
    with central.connect() as session:
        session.execute("ALTER SUBSCRIPTION web3 ENABLE")

    until(lambda: all_is_well(site))
    beat(webs)
    until(lambda: ids(webs[2]) <= ids(central))
    mine = {one for one in ids(webs[0]) if one > 1000}
    assert len(mine) == len(ids(webs[0])) - 2
    until(lambda: mine == {one for one in ids(central) if one % 1000 == 1})


LIES = (
    "INSERT INTO jobmon.job_log (job_id, owner, job_name, start_time, pid) VALUES (70002, 'x', 'X', now(), 1)",
    "UPDATE jobmon.job_log SET job_id = 80002 WHERE job_id = (SELECT max(job_id) FROM jobmon.job_log WHERE job_id % 1000 = 1)",
    "INSERT INTO jobmon.job_detail (job_id, step_id, action, start_time) SELECT max(job_id), 90002, 'x', now()"
    " FROM jobmon.job_log WHERE job_id % 1000 = 1",
    "UPDATE jobmon.job_log SET job_id = 71001 WHERE job_id = 70002",
    "DELETE FROM jobmon.job_log WHERE job_id % 1000 = 1",
    "TRUNCATE jobmon.job_log CASCADE",
)


@pytest.mark.parametrize("site", ["plain"], indirect=True)
def test_a_server_writes_only_its_own_runs(site: Site) -> None:
    webs, central = site
    beat(webs)
    until(lambda: len(names(central)) == 12)
    with central.connect() as there:
        there.execute(
            "INSERT INTO jobmon.job_log (job_id, owner, job_name, start_time, pid) VALUES (70002, 'x', 'WEB2: X', now(), 1)"
        )
    errors = "SELECT apply_error_count FROM pg_stat_subscription_stats WHERE subname = 'web1'"
    with webs[0].connect() as session, central.connect() as there:
        # its administrator publishes all there is
        session.execute("ALTER TABLE jobmon.job_detail DROP CONSTRAINT job_detail_job_id_fkey")
        session.execute("DROP PUBLICATION jobmon_central")
        columns = "job_id, owner, job_name, start_time, end_time, status, pid"
        tables = f"jobmon.job_log ({columns}), jobmon.job_detail"
        session.execute(f"CREATE PUBLICATION jobmon_central FOR TABLE {tables}".encode())
        where = value(there, "SELECT subconninfo FROM pg_subscription WHERE subname = 'web1'")

        def arrived(runs: int) -> None:
            until(lambda: len(names(central)) == runs)

        for lie in LIES:
            there.execute("DROP SUBSCRIPTION web1")
            subscribe(there, "web1", where, "copy_data = false")
            before = names(central)
            log_run(session, "etl")
            arrived(len(before) + 1)
            before = names(central)
            session.execute(lie.encode())
            until(lambda: value(there, errors) > 0)
            assert names(central) == before, lie
            assert value(there, "SELECT count(*) FROM jobmon.job_detail WHERE step_id = 90002") == 0
        # all tables, of which others than the log's have no trigger
        there.execute("DROP SUBSCRIPTION web1")
        session.execute("DROP PUBLICATION jobmon_central; CREATE PUBLICATION jobmon_central FOR ALL TABLES")
        subscribe(there, "web1", where, "enabled = false")
        said = psql(central, "-v", "subscription=web1", "-f", str(CENTRAL / "enable.sql")).stderr
        tables = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = 'jobmon'"
        others = {row[0] for row in there.execute(tables)} - {"jobmon.job_log", "jobmon.job_detail"}
        assert f"the subscription web1 would write {', '.join(sorted(others))}, too" in said
        assert not value(there, "SELECT subenabled FROM pg_subscription WHERE subname = 'web1'")
    # nor can its tables become others without its being told
    refused = central.ctl("partition", "--every", "month")
    assert refused.status == 1
    assert "this would go on using the old tables: subscription web1, subscription web2" in refused.stderr
    log = (central.server.folder / "log").read_text()
    assert "WEB1 may not delete" in log
    for number, times in ((70002, 2), (80002, 1), (90002, 1)):
        assert (
            len(set(re.findall(rf"^(.*) ERROR:  WEB1 has the number 1, and may not write the id {number}", log, re.M)))
            >= times
        )


def lost(web: Database) -> bool:
    """Whether the server has thrown away what its subscriber hasn't fetched."""
    with web.connect() as session:
        for _ in range(3):
            session.execute("SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()")
        session.execute("CHECKPOINT")
        return bool(value(session, "SELECT wal_status = 'lost' FROM pg_replication_slots"))


def a_lost_slot_and_a_restored_server_are_mended_as_the_guide_says(site: Site) -> None:
    """On servers whose jobs are configured centrally."""
    webs, central = site

    def alert(number: int, alive: list[Database]) -> None:
        beat(alive)
        silent(central, number)
        found = central.check()
        assert f"{NAMES[number - 1]}: HEARTBEAT missing" in found.first_line
        assert found.perfdata.startswith("critical=1 warning=0 ")
        assert "waiting=3" in found.perfdata

    def mine(number: int) -> set[int]:
        return {one for one in ids(central) if one % 1000 == number}

    until(lambda: all_is_well(site))
    assert central.ctl("bootstrap").status == 0
    assert "ERROR" not in psql(central, "-f", str(CENTRAL / "central.sql")).stderr
    with central.connect() as session:
        # what comes in lies in partitions, whose triggers are those of the tables, also of partitions that are made later
        tables = "SELECT count(*) FROM jobmon.job_log WHERE tableoid::regclass::text ~ 'job_log_2'"
        assert value(session, tables) == len(names(central))
        enabled = """SELECT string_agg(DISTINCT tgenabled::text, '') FROM pg_trigger WHERE NOT tgisinternal AND tgname LIKE %s
                        AND tgrelid IN (SELECT relid FROM pg_partition_tree('jobmon.job_log')
                                         UNION ALL SELECT relid FROM pg_partition_tree('jobmon.job_detail'))"""
        session.execute("DROP TABLE jobmon.job_log_default, jobmon.job_detail_default")
        for table, column in (("job_log", "job_id"), ("job_detail", "step_id")):
            session.execute(
                f"CREATE TABLE jobmon.{table}_default PARTITION OF jobmon.{table} (PRIMARY KEY ({column})) DEFAULT".encode()
            )
        assert value(session, enabled, "1 arriving%") == "R"
        assert value(session, enabled, "job%") == "A"

    # the backup of a server: what its data directory has while it is stopped, but for slots, as pg_basebackup has it
    first = webs[0].server
    first.stop()
    backup = first.folder / "backup"
    subprocess.run(["cp", "-a", first.data, backup], check=True)
    first.start()
    beat(webs)
    with webs[0].connect() as session:
        session.execute("SELECT jobmon.add_job('long')")
    until(lambda: "WEB1: LONG" in names(central))
    until(lambda: ids(webs[1]) <= ids(central))

    # the central server is away until the second server can't keep its WAL any longer
    central.server.stop()
    beat(webs)
    until(lambda: lost(webs[1]))
    central.server.start()
    alert(2, [webs[0], webs[2]])
    guide(site, 2, "DELETE FROM")
    guide(site, 2, "(enabled = false)")
    enable(central, 2)
    until(lambda: all_is_well(site))
    until(lambda: ids(webs[1]) == mine(2))

    # the first one is restored from its backup, in which it has neither the newest runs nor a slot
    before, newest = mine(1), max(mine(1))
    first.stop("immediate")
    shutil.rmtree(first.data)
    backup.rename(first.data)
    for slot in (first.data / "pg_replslot").iterdir():
        shutil.rmtree(slot)
    first.start()
    assert max(ids(webs[0])) < newest
    alert(1, webs[1:])
    run, step = guide(site, 1, "slot_name = NONE").splitlines()[-1].split("|")
    where = ["-v", f"run={run}", "-v", f"step={step}", "-f", str(CENTRAL / "publish.sql")]
    assert psql(webs[0], "-v", "number=1", *where).stderr == ""
    guide(site, 1, "copy_data = false")
    enable(central, 1)
    until(lambda: all_is_well(site))
    until(lambda: {one for one in ids(webs[0]) if one > newest} == mine(1) - before)
    with central.connect() as session:
        assert value(session, "SELECT status FROM jobmon.job_log WHERE job_name = 'WEB1: LONG'") == "CRITICAL"
        assert value(session, "SELECT count(DISTINCT step_id) = count(*) FROM jobmon.job_detail")
    assert before <= mine(1)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ([], "say which number"),
        (["-v", "number=0"], "is from 1 to 999"),
        (["-v", "number=x"], "say which number"),
        (["-v", "number=1", "-v", "run=81001", "-v", "step='x"], "run and step are the largest ids"),
    ],
)
def test_publish_says_what_it_needs(database: Database, number: list[str], said: str) -> None:
    done = psql(database, *number, "-f", str(CENTRAL / "publish.sql"))
    assert done.returncode == 3
    assert said in done.stderr


def test_publish_needs_logical_replication(database: Database, session: psycopg.Connection) -> None:
    done = psql(database, "-v", "number=1", "-f", str(CENTRAL / "publish.sql"))
    assert "wal_level is replica, and has to be logical" in done.stderr
    assert value(session, "SELECT count(*) FROM pg_publication") == 0


def test_no_server_can_take_the_ids_of_the_central_servers_own_runs(
    database: Database, session: psycopg.Connection
) -> None:
    log_run(session, "before")
    for _ in range(2):
        assert "ERROR" not in psql(database, "-f", str(CENTRAL / "central.sql")).stderr
        session.execute("SELECT jobmon.job_log_clear('1 day')")
    assert ids(database) == {1, 1000, 2000}
    steps = "SELECT array_agg(DISTINCT step_id % 1000) FROM jobmon.job_detail WHERE job_id >= 1000"
    assert session.execute(steps.encode()).fetchall() == [([0],)]
    assert database.ctl("bootstrap").status == 0


@pytest.fixture
def stranger(session: psycopg.Connection) -> Iterator[str]:
    """A role that may create in the database."""
    session.execute("CREATE ROLE stranger LOGIN")
    session.execute(f"GRANT CREATE ON DATABASE {session.info.dbname} TO stranger".encode())
    yield "stranger"
    session.execute("DROP OWNED BY stranger CASCADE; DROP ROLE stranger")


@pytest.mark.parametrize(
    ("made", "what"),
    [
        ("SET ROLE stranger; CREATE SCHEMA jobmon_central", "schema jobmon_central"),
        (
            "CREATE SCHEMA jobmon_central; GRANT ALL ON SCHEMA jobmon_central TO stranger; SET ROLE stranger;"
            "CREATE FUNCTION jobmon_central.arriving() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "function jobmon_central.arriving()",
        ),
        (
            "CREATE SCHEMA jobmon_central; GRANT ALL ON SCHEMA jobmon_central TO stranger; SET ROLE stranger;"
            "CREATE TABLE jobmon_central.server (number integer, name text, subscription name)",
            "table jobmon_central.server",
        ),
    ],
)
def test_central_uses_nothing_that_somebody_else_has_made(
    database: Database, session: psycopg.Connection, stranger: str, made: str, what: str
) -> None:
    with database.connect() as before:
        before.execute(made.encode())
    done = psql(database, "-f", str(CENTRAL / "central.sql"))
    assert done.returncode == 3
    assert f'{what} belongs to role "{stranger}", not to the owner of the job log' in done.stderr
    assert value(session, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE '1 arriving%%'") == 0


@pytest.mark.parametrize("owned", ["SCHEMA jobmon", "TABLE jobmon.job_log", "TABLE jobmon.job_detail"])
def test_publish_executes_nothing_that_an_owner_has_made(
    database: Database, session: psycopg.Connection, stranger: str, owned: str
) -> None:
    session.execute(f"ALTER {owned} OWNER TO {stranger}".encode())
    done = psql(database, "-v", "number=1", "-f", str(CENTRAL / "publish.sql"))
    assert done.returncode == 3
    assert f'the job log belongs to role "{stranger}", and this is role "postgres"' in done.stderr
    for table in ("job_log", "job_detail", "schema"):
        which = "SCHEMA jobmon" if table == "schema" else f"TABLE jobmon.{table}"
        session.execute(f"ALTER {which} OWNER TO {stranger}".encode())
    done = psql(database, "-U", stranger, "-v", "number=1", "-f", str(CENTRAL / "publish.sql"))
    assert "wal_level is replica" in done.stderr
