"""Debian's pg_partman and mimeo log into the schema, by an extension of pg_jobmon's name without objects: so all is dumped."""

import contextlib
import subprocess
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.ctl.prompt import refusal
from tests.database import Database, value
from tests.judging.test_pg_jobmon import VARIANTS
from tests.schema.test_upgrade import install_version
from tests.servers import create

HERE = "usr/lib/postgresql/15", "usr/share/postgresql/15"
FILES = ("pg_jobmon.control", "pg_jobmon--1.5.0.sql")
REAL = "comment = 'Extension for logging and monitoring functions in PostgreSQL'\ndefault_version = '1.4.1'\nschema = jobmon\n"


@pytest.fixture(scope="module")
def debian() -> Iterator[Server]:
    """A server of Debian's PostgreSQL 15, whose programs and extensions are a copy."""
    if not all(Path("/", HERE[1], "extension", f"{name}.control").exists() for name in ("pg_partman", "mimeo")):
        pytest.skip("postgresql-15-partman or postgresql-15-mimeo is not installed")
    with tempfile.TemporaryDirectory(prefix="jobmon-debian-", dir="/tmp") as folder:
        root = Path(folder)
        root.chmod(0o755)
        for name in HERE:
            (root / name).parent.mkdir(parents=True)
            subprocess.run(["cp", "-rL", f"/{name}", root / name], check=True)
        server = Server(Path("/", HERE[0], "bin"), {"fsync": "off"})
        try:
            create(server)
            server.binaries = root / HERE[0] / "bin"
            server.start()
            yield server
        finally:
            server.remove()


@pytest.fixture
def extensions(debian: Server) -> Iterator[Path]:
    """The folder of that server's extensions; without pg_jobmon's afterwards."""
    yield extension_folder(debian)
    without_pg_jobmon(debian)


def extension_folder(debian: Server) -> Path:
    """Where that server has its extensions."""
    return debian.binaries.parents[4] / HERE[1] / "extension"


def without_pg_jobmon(debian: Server) -> None:
    """Delete pg_jobmon's files."""
    for file in extension_folder(debian).glob("pg_jobmon*"):
        file.unlink()


@contextlib.contextmanager
def database_etl(debian: Server, template: str) -> Iterator[Database]:
    """A copy of a database; `other`, if there is one, is dropped with it."""
    with Database(debian, "postgres").connect() as session:
        session.execute(f"CREATE DATABASE etl TEMPLATE {template} STRATEGY file_copy".encode())
        yield Database(debian, "etl")
        for name in ("etl", "other"):
            session.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@pytest.fixture
def etl(debian: Server) -> Iterator[Database]:
    """An empty database."""
    with database_etl(debian, "template0") as database:
        yield database


@pytest.fixture(scope="module")
def installed(debian: Server) -> str:
    """The name of a database to copy, which has the job log and the extension."""
    with Database(debian, "postgres").connect() as session:
        session.execute("CREATE DATABASE installed")
    install(Database(debian, "installed"))
    without_pg_jobmon(debian)
    return "installed"


@pytest.fixture
def logged(debian: Server, installed: str) -> Iterator[Database]:
    """A copy of it."""
    with database_etl(debian, installed) as database:
        yield database


def install(etl: Database) -> None:
    """Let programs that look for pg_jobmon log into the database's job log."""
    assert etl.ctl("extension", "--install").status == 0
    output = etl.ctl("bootstrap", "--as-extension")
    assert output.status == 0, output
    assert "; programs that look for the extension pg_jobmon log into it; " in output.stdout


def watch(session: psycopg.Connection, name: str) -> None:
    """Configure a job."""
    session.execute(
        "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active)"
        " VALUES (%s, '2 hours', '1 day', true)",
        [name],
    )


def test_pg_partmans_maintenance_by_a_role_that_may_log_is_watched(logged: Database) -> None:
    with logged.connect() as session:
        session.execute("CREATE ROLE keeper LOGIN")
        try:
            session.execute(
                """
                CREATE SCHEMA partman;
                CREATE EXTENSION pg_partman SCHEMA partman;
                GRANT ALL ON SCHEMA partman, public TO keeper;
                GRANT ALL ON ALL TABLES IN SCHEMA partman TO keeper;
                GRANT jobmon_log TO keeper;
                """
            )
            watch(session, "PARTMAN RUN MAINTENANCE")
            with logged.connect(user="keeper") as keeper:
                keeper.execute(
                    """
                    CREATE TABLE public.events (at timestamptz NOT NULL) PARTITION BY RANGE (at);
                    SELECT partman.create_parent('public.events', 'at', 'native', 'daily');
                    SELECT partman.run_maintenance()
                    """
                )
                assert logged.check().first_line == "JOBMON OK - 1 ok: all jobs run successfully"
                # a row that is in the way of a partition to be made
                keeper.execute("INSERT INTO public.events VALUES (now() + interval '7 days')")
                keeper.execute("UPDATE partman.part_config SET premake = 10")
                with pytest.raises(psycopg.errors.RaiseException, match="would be violated by some row"):
                    keeper.execute("SELECT partman.run_maintenance()")
            runs = session.execute("SELECT job_name, status FROM jobmon.job_log ORDER BY job_id").fetchall()
            assert runs == [
                ("PARTMAN SETUP PARENT: PUBLIC.EVENTS", "OK"),
                ("PARTMAN CREATE TABLE: PUBLIC.EVENTS", "OK"),
                ("PARTMAN RUN MAINTENANCE", "OK"),
                ("PARTMAN RUN MAINTENANCE", "CRITICAL"),
                ("PARTMAN CREATE TABLE: PUBLIC.EVENTS", "OK"),
                ("PARTMAN CREATE TABLE: PUBLIC.EVENTS", "OK"),
                ("PARTMAN CREATE TABLE: PUBLIC.EVENTS", "CRITICAL"),
            ]
            assert logged.check().first_line.startswith(
                "JOBMON CRITICAL - 1 critical, 1 ok: PARTMAN RUN MAINTENANCE failed 1 time (Running maintenance loop: ERROR: "
            )
        finally:
            session.execute("DROP OWNED BY keeper CASCADE; DROP ROLE keeper")


def test_mimeos_snapshots_are_watched(logged: Database) -> None:
    with logged.connect() as session:
        session.execute("CREATE DATABASE other")
        session.execute("CREATE SCHEMA mimeo; CREATE EXTENSION mimeo SCHEMA mimeo")
        session.execute(
            "INSERT INTO mimeo.dblink_mapping_mimeo (data_source, username, pwd) VALUES (%s, 'postgres', '')",
            [f"host={logged.server.folder} port={logged.server.port} dbname=other"],
        )
        watch(session, "REFRESH SNAP: PUBLIC.T")
        with Database(logged.server, "other").connect() as source, logged.connect() as mirror:
            source.execute("CREATE TABLE public.t AS SELECT generate_series(1, 10) AS i")
            mirror.execute("SELECT mimeo.snapshot_maker('public.t', 1)")
            assert logged.check().first_line == "JOBMON OK - 1 ok: all jobs run successfully"
            source.execute("DROP TABLE public.t")
            with pytest.raises(psycopg.errors.RaiseException, match=r"Source table public\.t not found"):
                mirror.execute("SELECT mimeo.refresh_snap('public.t')")
        assert logged.check().first_line == (
            "JOBMON CRITICAL - 1 critical, 0 ok: REFRESH SNAP: PUBLIC.T failed 1 time "
            "(Truncate non-active snap table: ERROR: Source table public.t not found for dblink id 1)"
        )


def test_a_dump_has_everything_and_the_extension(logged: Database, extensions: Path) -> None:
    assert logged.ctl("extension", "--install").status == 0
    where = ["-h", str(logged.server.folder), "-p", str(logged.server.port), "-U", "postgres"]
    programs = logged.server.binaries
    with logged.connect() as session:
        session.execute("SELECT jobmon.fail_job(jobmon.add_job('load')); SELECT jobmon.sql_job('etl', 'SELECT 1')")
        session.execute("CREATE DATABASE other")
        tables = [
            name
            for (name,) in session.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'jobmon'::regnamespace AND relkind = 'r' ORDER BY 1"
            )
        ]
        dump = subprocess.run([programs / "pg_dump", *where, "-Fc", "etl"], capture_output=True, check=True).stdout
        subprocess.run([programs / "pg_restore", *where, "-d", "other", "-e"], input=dump, check=True)
        other = Database(logged.server, "other")
        with other.connect() as copy:
            for name in tables:
                query = f"SELECT t::text FROM jobmon.{name} AS t ORDER BY 1".encode()
                assert copy.execute(query).fetchall() == session.execute(query).fetchall(), name
            assert (
                value(copy, "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_jobmon'")
                == "jobmon"
            )
            install(other)
            assert value(copy, "SELECT jobmon.add_job('etl')") == 3
            # what is dropped with it: nothing
            copy.execute("DROP EXTENSION pg_jobmon")
            assert value(copy, "SELECT count(*) FROM jobmon.job_log") == 3
    assert other.ctl("bootstrap", "--check").status == 0


def test_as_extension_is_added_and_kept_and_uninstalled_in_any_schema(etl: Database, extensions: Path) -> None:
    """And pg_partman logs into the extension's schema, whatever its name."""
    assert etl.ctl("bootstrap", "--schema", "joblog").status == 0
    assert etl.ctl("extension", "--install").stdout == (
        f"wrote {FILES[0]} and {FILES[1]} in {extensions}; next: jobmonctl bootstrap --as-extension\n"
    )
    assert etl.ctl("extension", "--install", "--directory", str(extensions)).stdout == (
        f"nothing to do, there are {FILES[0]} and {FILES[1]} in {extensions}; next: jobmonctl bootstrap --as-extension\n"
    )
    assert etl.ctl("bootstrap", "--schema", "joblog", "--as-extension", "--check").status == 1
    assert etl.ctl("bootstrap", "--schema", "joblog", "--as-extension").stdout.startswith("repaired schema")
    assert etl.ctl("bootstrap", "--schema", "joblog", "--as-extension", "-q").stdout == ""
    assert etl.ctl("bootstrap", "--schema", "joblog", "--check").status == 0
    assert refusal(etl.ctl("bootstrap", "--as-extension")) == (
        'jobmonctl bootstrap: the extension pg_jobmon is in schema "joblog" already: run DROP EXTENSION pg_jobmon'
    )
    with etl.connect() as session:
        extension = "SELECT count(*) FROM pg_extension WHERE extname = 'pg_jobmon'"
        assert value(session, extension) == 1
        session.execute(
            "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman; SELECT partman.run_maintenance()"
        )
        assert session.execute("SELECT job_name, status FROM joblog.job_log").fetchall() == [
            ("PARTMAN RUN MAINTENANCE", "OK")
        ]
        assert etl.ctl("uninstall", "--schema", "joblog", "-y").status == 0
        assert value(session, extension) == 0


@pytest.mark.parametrize("marked", [False, True])
def test_an_upgrade_makes_or_keeps_the_extension(etl: Database, extensions: Path, marked: bool) -> None:
    install_version(etl, 8)
    assert etl.ctl("extension", "--install").status == 0
    with etl.connect() as session:
        if marked:
            session.execute("CREATE EXTENSION pg_jobmon SCHEMA jobmon")
        output = etl.ctl("bootstrap", *([] if marked else ["--as-extension"]))
        assert (output.status, output.stdout.split()[0]) == (0, "upgraded")
        assert value(session, "SELECT count(*) FROM pg_extension WHERE extname = 'pg_jobmon'") == 1
        assert value(session, "SELECT jobmon.add_job('etl')") == 2


def test_what_is_missing_or_not_ours_is_named(etl: Database, extensions: Path) -> None:
    no_files = (
        "jobmonctl bootstrap: the server has no extension pg_jobmon to create: "
        'run "jobmonctl extension --install" on the server\'s machine'
    )
    assert refusal(etl.ctl("bootstrap", "--as-extension")) == no_files
    for half in FILES:
        assert etl.ctl("extension", "--install").status == 0
        (extensions / half).unlink()
        assert refusal(etl.ctl("bootstrap", "--as-extension")) in (no_files, (
            "jobmonctl bootstrap: one of the two files of the extension pg_jobmon is missing: "
            'run "jobmonctl extension --install" on the server\'s machine'
        ))  # fmt: skip
    assert refusal(etl.ctl("extension", "--install", "--directory", "/nowhere")) == (
        "jobmonctl extension: this machine has no folder /nowhere: run this on the server's machine, or give --directory"
    )
    assert refusal(etl.ctl("extension", "--install", "--directory", str(extensions.parent))) == (
        f"jobmonctl extension: a server looks for extensions in a folder named extension: give --directory {extensions}"
    )
    with etl.connect() as session:
        session.execute("CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE etl TO app")
        try:
            assert refusal(etl.ctl("extension", "--install", "-U", "app")) == (
                'jobmonctl extension: role "app" may not see where the server has its extensions: '
                "GRANT pg_read_all_settings TO that role, or give --directory"
            )
        finally:
            session.execute("DROP OWNED BY app; DROP ROLE app")


def test_an_ordinary_owner_is_told_what_takes_a_superuser(etl: Database, extensions: Path) -> None:
    assert etl.ctl("extension", "--install").status == 0
    with etl.connect() as session:
        session.execute("CREATE ROLE app LOGIN CREATEROLE")
        session.execute("ALTER DATABASE etl OWNER TO app")
        session.execute("CREATE SCHEMA d; CREATE EXTENSION dblink SCHEMA d; GRANT USAGE ON SCHEMA d TO app")
        try:
            assert refusal(etl.ctl("bootstrap", "--as-extension", "-U", "app")) == (
                'jobmonctl bootstrap: role "app" may not create the extension pg_jobmon: ask a superuser to run CREATE EXTENSION '
                "pg_jobmon SCHEMA jobmon, after a bootstrap without --as-extension, if all who run pg_partman or mimeo trust the "
                "schema's owner, whose functions these then call"
            )
            # this server lets the link log in without a password, which dblink refuses an ordinary owner
            assert "the schema is installed, but " in refusal(etl.ctl("bootstrap", "--no-roles", "-U", "app"))
            session.execute("CREATE EXTENSION pg_jobmon SCHEMA jobmon")
            output = etl.ctl("bootstrap", "--no-roles", "--as-extension", "--check", "-U", "app")
            assert "the schema is installed, but " in output.stderr
            output = etl.ctl("uninstall", "-y", "-U", "app")
            assert output.stderr == (
                "jobmonctl uninstall: nothing was removed: have a superuser run DROP EXTENSION pg_jobmon first\n"
            )
            session.execute("DROP EXTENSION pg_jobmon")
            assert etl.ctl("uninstall", "-y", "-U", "app").status == 0
        finally:
            session.execute("ALTER DATABASE etl OWNER TO postgres; DROP OWNED BY app CASCADE; DROP ROLE app")


def test_the_real_extension_stays_until_it_is_dropped(etl: Database, extensions: Path) -> None:
    # its tables as its users see them, as members of an extension
    (extensions / FILES[0]).write_text(REAL)
    script = VARIANTS[-1].script().replace("CREATE SCHEMA jobmon;", "").replace("jobmon.", "@extschema@.")
    (extensions / "pg_jobmon--1.4.1.sql").write_text(script)
    refused = refusal(etl.ctl("extension", "--install"))
    assert refused.endswith(" is pg_jobmon's own, and stays: uninstall pg_jobmon first")
    with etl.connect() as session:
        session.execute(
            "CREATE EXTENSION pg_jobmon; INSERT INTO jobmon.job_log VALUES (7, 'x', 'X', now(), now(), 'OK', 1)"
        )
        lines = etl.ctl("migrate").stdout.splitlines()
        assert lines[1] == (
            'the old schema, named "jobmon_old" from now on, is not dropped, and programs that look for the extension pg_jobmon '
            "find it until you DROP EXTENSION pg_jobmon"
        )
        assert refusal(etl.ctl("bootstrap", "--as-extension")) == (
            'jobmonctl bootstrap: the extension pg_jobmon is in schema "jobmon_old" already: migrate its log '
            "(jobmonctl migrate), then run DROP EXTENSION pg_jobmon"
        )
        session.execute("DROP EXTENSION pg_jobmon; DROP SCHEMA jobmon_old")
        assert refusal(etl.ctl("bootstrap", "--as-extension")) == (
            "jobmonctl bootstrap: the server has pg_jobmon's own files: "
            'run "jobmonctl extension --install" on the server\'s machine'
        )
        for file in extensions.glob("pg_jobmon*"):
            file.unlink()
        install(etl)
        assert value(session, "SELECT jobmon.add_job('x')") == 8


def test_pg_partman_makes_the_logs_partitions_as_the_guide_says(etl: Database) -> None:
    guide = (Path(__file__).parent.parent.parent / "docs" / "guides" / "large-logs.rst").read_text()
    statements = textwrap.dedent(
        guide[guide.index("    DELETE FROM jobmon.partitioning") : guide.index("With the first statement")]
    )
    assert etl.ctl("bootstrap", "--partition", "month").status == 0
    with etl.connect() as session:
        session.execute("CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman")
        psql = [
            str(etl.server.binaries / "psql"),
            "-X",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            str(etl.server.folder),
            "-p",
            str(etl.server.port),
        ]
        subprocess.run([*psql, "-U", "postgres", "etl"], input=statements, text=True, check=True, capture_output=True)
        session.execute("SELECT partman.run_maintenance()")
        session.execute("SELECT jobmon.sql_job('etl', 'SELECT 1')")
        assert "_p20" in value(session, "SELECT tableoid::regclass::text FROM jobmon.job_log")
        assert "up to date" in etl.ctl("bootstrap").stdout
        session.execute("SELECT jobmon.job_log_clear('40 days')")
        left = value(session, "SELECT count(*) FROM jobmon.partitions() WHERE ends < now() - interval '40 days'")
        assert left == 0
        assert value(session, "SELECT count(*) FROM jobmon.partitions() WHERE ends > now()") > 1
