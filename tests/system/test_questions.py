"""docs/questions.rst: its commands are run as they stand there, on servers in the state that each answer is about."""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database
from tests.judging.test_pg_jobmon import VARIANTS
from tests.servers import create
from tests.system.conftest import log_run
from tests.system.daemons import Place, free_port, listens, program
from tests.system.test_standby import Standby
from tests.test_readme import DOCS
from tests.test_tutorial import alike, examples, lines

PAGE = DOCS / "questions.rst"
SETUP = """
CREATE ROLE etl_owner LOGIN;
GRANT jobmon_log TO etl_owner;
CREATE ROLE nagios LOGIN PASSWORD 'only-for-this-test';
GRANT jobmon_monitor TO nagios;
CREATE TABLE facts (id integer);
CREATE PROCEDURE load_facts() LANGUAGE sql AS '';
INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity)
     VALUES ('NIGHTLY ETL', '25 hours', '2 days', true, 0), ('CATALOG REFRESH', '25 hours', '2 days', true, 0);
"""
VARYING = (
    (r"\t", " "),
    (r"\d+m\d+\.\d+s", "TIME"),
    (r'file "[^"]*"', 'file "FILE"'),
    (r"\b(job|run) \d+", r"\1 JOB_ID"),
    (r"\bversion \d+", "version N"),
    (r"; roles: .*", "; ROLES"),
    (r"-{5,}", "-----"),
)
"""What else is different in each run."""


@dataclass(frozen=True)
class Site:
    """A server whose database etl has the job log, the places that the page names, and what is to be undone at the end."""

    server: Server
    place: Place
    folder: Path
    cleanup: contextlib.ExitStack

    @property
    def etl(self) -> Database:
        """The database that has the job log."""
        return Database(self.server, "etl")


@pytest.fixture
def site(tmp_path: Path, place: Place) -> Iterator[Site]:
    """The server before the first question."""
    with contextlib.ExitStack() as cleanup:
        server = Server(settings={"fsync": "off"}, tcp=True)
        cleanup.callback(server.remove)
        create(server)
        server.start()
        site = Site(server, place, tmp_path, cleanup)
        with Database(server, "postgres").connect() as session:
            session.execute("CREATE DATABASE etl")
            session.execute("CREATE DATABASE legacy")
        assert site.etl.ctl("bootstrap").status == 0
        with site.etl.connect() as session:
            session.execute(SETUP)
            log_run(session, "catalog refresh")
        yield site


def standby(site: Site) -> str:
    """A standby, which the page calls db2.example.com, of a primary on which a job is under way."""
    under_way = site.cleanup.enter_context(site.etl.connect())
    under_way.execute("SELECT jobmon.add_job('catalog refresh')")
    standby = Standby(site.server.binaries, site.server.settings)
    standby.primary = site.server
    site.cleanup.callback(standby.remove)
    standby.create()
    standby.start()
    standby.of(site.etl)
    return f"{standby.folder} -p {standby.port}"


def pool(site: Site) -> str:
    """A PgBouncer in transaction mode, which the page calls pool.example.com."""
    port = free_port()
    site.place.write("users.txt", '"nagios" "only-for-this-test"\n')
    configuration = site.place.write(
        "pgbouncer.ini",
        f"""
[databases]
* = host=127.0.0.1 port={site.server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {site.place.folder}/users.txt
pool_mode = transaction
default_pool_size = 1
""",
    )
    daemon = site.cleanup.enter_context(site.place.daemon(program("pgbouncer", "pgbouncer"), str(configuration)))
    daemon.until(lambda: listens(port), "PgBouncer accepts connections")
    with site.etl.connect() as session:
        log_run(session, "nightly etl")
    pgpass = site.folder / ".pgpass"
    pgpass.write_text("*:*:*:nagios:only-for-this-test\n")
    pgpass.chmod(0o600)
    return f"127.0.0.1 -p {port}"


def full_disk(site: Site) -> str:
    """The log's tables in a tablespace on a disk that is full."""
    disk = site.place.make("full")
    (site.folder / "full").symlink_to(disk)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m,mode=711", "full", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a disk that can be filled can't be mounted here: {mounted.stderr.strip()}")
    site.cleanup.callback(lambda: subprocess.run(["umount", "--lazy", disk], check=False))
    space = disk / "space"
    space.mkdir(mode=0o700)
    shutil.chown(space, site.server.data.owner())
    with site.etl.connect() as session:
        session.execute(f"CREATE TABLESPACE log LOCATION '{space}'".encode())
        for table in ("job_log", "job_detail", "job_check_log"):
            session.execute(f"TRUNCATE jobmon.{table} CASCADE".encode())
            session.execute(f"ALTER TABLE jobmon.{table} SET TABLESPACE log".encode())
        log_run(session, "catalog refresh")
    with (disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(1024))
    assert shutil.disk_usage(disk).free == 0
    # the pages that the tables have already
    with site.etl.connect() as session, contextlib.suppress(psycopg.errors.DiskFull):
        while True:
            log_run(session, "filler")
    return ""


def extension(site: Site) -> str:
    """pg_jobmon's tables, with one job, in the database legacy."""
    with Database(site.server, "legacy").connect() as session:
        VARIANTS[-1].create(session)
        session.execute(
            "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity)"
            " VALUES ('NIGHTLY ETL', '25 hours', '2 days', true, 0)"
        )
        session.execute(
            "INSERT INTO jobmon.job_log (job_id, owner, job_name, start_time, end_time, status, pid)"
            " VALUES (1, 'me', 'NIGHTLY ETL', now() - interval '2 hours', now() - interval '1 hour', 'OK', 1)"
        )
    return ""


def fewer_runs(site: Site) -> str:
    """No other runs than those that are measured."""
    with site.etl.connect() as session:
        session.execute("TRUNCATE jobmon.job_log, jobmon.job_detail CASCADE")
    return ""


PREPARED = {
    "Where does the log go on failover?": ("db2.example.com", standby),
    "What does one run cost?": ("", fewer_runs),
    "Does it work through PgBouncer, on a managed server, with Windows?": ("pool.example.com", pool),
    "What happens when the log's disk is full?": ("", full_disk),
    "How do I move from pg_jobmon?": ("", extension),
}
"""What is done before the commands of an answer, and the host name that then stands for what the function returns."""


def same(line: str) -> str:
    """The line without what is different in each run."""
    for pattern, word in VARYING:
        line = re.sub(pattern, word, line)
    return alike(line)


def answers() -> dict[str, str]:
    """The text of each answer, by its question."""
    parts = re.split(r"^(\S.*\?)\n-+\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_commands_of_each_answer_print_what_it_says(site: Site) -> None:
    program("pgbouncer", "pgbouncer")
    assert len(answers()) == 8
    assert set(PREPARED) <= set(answers())
    for question, answer in answers().items():
        commands = examples(answer.partition("\nAs root,")[0])
        assert commands, question
        host, prepare = PREPARED.get(question, ("", None))
        place = prepare(site) if prepare else ""
        for command, expected in commands:
            here = command.replace("/tmp/", f"{site.folder}/")
            printed = lines(here.replace(host, place) if host else here, site.server, site.folder)
            assert len(printed) == len(expected), (command, printed)
            for line, shown in zip(printed, expected, strict=True):
                if size := re.fullmatch(r"(job_\w+\|)(\d+)", shown):
                    assert line.startswith(size[1])
                    assert int(line.removeprefix(size[1])) == pytest.approx(int(size[2]), rel=0.2), command
                else:
                    assert same(line) == same(shown), f"change {PAGE.name}: {command}: {printed}"
