"""contrib/central: the logs of three servers in one, by logical replication, and what one server may do there."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests import servers
from tests.database import Database, Output, bootstrap, run_module, value
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
    command = [str(database.server.binaries / "psql"), "-X", "-q", *where, *arguments]
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


@pytest.fixture(params=["plain", "partitioned"])
def site(server: Server, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Three servers whose runs are copied to a fourth. One has a partitioned log; so has the fourth if the test says so."""
    workers = {"max_logical_replication_workers": "12", "max_worker_processes": "20", "wal_level": "logical"}
    workers["wal_retrieve_retry_interval"] = "200ms"
    made = [Server(server.binaries, workers, tcp=True) for _ in range(4)]
    try:
        for one in made:
            servers.create(one)
            one.start()
        webs, central = [Database(one, "postgres") for one in made[:3]], Database(made[3], "postgres")
        for database in (*webs, central):
            if database == webs[1] or (database == central and request.param == "partitioned"):
                assert database.ctl("bootstrap", "--partition", "month").status == 0
            else:
                with database.connect() as session:
                    bootstrap(session, "jobmon")
        # a run of before, and one that is under way
        with webs[0].connect() as session:
            log_run(session, "old")
            session.execute("SELECT jobmon.add_job('under way')")
        assert psql(central, "-f", str(CENTRAL / "central.sql")).stderr == ""
        for number, web in enumerate(webs, 1):
            assert psql(web, "-v", f"number={number}", "-f", str(CENTRAL / "publish.sql")).stderr == ""
            with web.connect() as session:
                session.execute("CREATE ROLE jobmon_central LOGIN REPLICATION IN ROLE jobmon_read PASSWORD 'x'")
            passfile = central.server.folder / f"pgpass{number}"
            central.server._write(passfile, "*:*:*:*:x\n")
            with central.connect() as session:
                name = f"web{number}"
                session.execute(
                    "INSERT INTO jobmon_central.server VALUES (%s, %s, %s)", [number, NAMES[number - 1], name]
                )
                where = f"host=127.0.0.1 port={web.server.port} dbname=postgres user=jobmon_central passfile={passfile}"
                subscribe(session, name, where, "enabled = false")
            assert psql(central, "-v", f"subscription={name}", "-f", str(CENTRAL / "enable.sql")).stderr == ""
        yield Site(webs, central)
    finally:
        for one in made:
            one.remove()


def configure(central: Database, limit: str, folder: Path) -> None:
    """As the guide has it for one server, with this limit instead of its own."""
    (block,) = [block for block in literal_blocks(GUIDE) if block.startswith("jobs:")]
    jobs = re.sub(r"(warn|error): \w+", rf"\1: {limit}", block.partition("\n")[2])
    more = [jobs.replace("WEB1", name).replace("ETL", job) for name in NAMES for job in ("ETL", "CUBE", "MAIL")]
    file = folder / "jobs.yml"
    file.write_text("jobs:\n" + "\n".join(dict.fromkeys(line for part in more for line in part.splitlines())))
    applied = run_module("check_jobmon.ctl", "config", "apply", str(file), *central.options)
    assert applied.status == 0, applied.stderr


def beat(webs: list[Database]) -> None:
    """All jobs of these servers run."""
    for web in webs:
        with web.connect() as session:
            for job in ("heartbeat", "etl", "cube", "mail"):
                log_run(session, job)


@pytest.mark.parametrize("site", ["partitioned"], indirect=True)
def test_three_servers_are_one_log_and_a_silent_server_is_one_alert(site: Site, tmp_path: Path) -> None:
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
    configure(central, "10s", tmp_path)
    webs[1].server.stop("immediate")
    with central.connect() as session:
        session.execute("ALTER SUBSCRIPTION web3 DISABLE")

    def checked() -> Output:
        beat([webs[0], webs[2]])
        return central.check()

    until(lambda: "waiting=6" in checked().perfdata)
    seen = []

    def both_alert() -> bool:
        seen.append(checked())
        return seen[-1].perfdata.startswith("critical=2 warning=0 ok=10")

    until(both_alert)
    found = seen[-1]
    assert found.status == 2
    assert "WEB2: HEARTBEAT" in found.first_line
    assert "WEB3: HEARTBEAT" in found.first_line
    assert "ETL" not in found.first_line

    # both are back: nothing is lost or doubled
    webs[1].server.start()
    with central.connect() as session:
        session.execute("ALTER SUBSCRIPTION web3 ENABLE")

    def all_well() -> bool:
        beat(webs)
        return central.check().status == 0

    until(all_well)
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
            beat(webs[:1])
            arrived(len(before) + 4)
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


@pytest.mark.parametrize(
    ("number", "said"),
    [([], "say which number"), (["-v", "number=0"], "is from 1 to 999"), (["-v", "number=x"], "say which number")],
)
def test_publish_says_what_it_needs(database: Database, number: list[str], said: str) -> None:
    done = psql(database, *number, "-f", str(CENTRAL / "publish.sql"))
    assert done.returncode == 3
    assert said in done.stderr


def test_publish_needs_logical_replication(database: Database, session: psycopg.Connection) -> None:
    done = psql(database, "-v", "number=1", "-f", str(CENTRAL / "publish.sql"))
    assert "wal_level is replica, and has to be logical" in done.stderr
    assert value(session, "SELECT count(*) FROM pg_publication") == 0
