"""docs/guides/other-schedulers.rst: cron and systemd take its crontab and its units as they are, and they log runs."""

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.database import Database, until, value
from tests.system.daemons import SOURCES, program
from tests.test_readme import literal_blocks

GUIDE = SOURCES / "docs" / "guides" / "other-schedulers.rst"
BACKUP = "[Service]\nType=oneshot\nExecStart=/usr/local/bin/backup\n"


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A machine's root folder with systemd's own units, a unit of the site's, and the programs that the guide's units start."""
    shutil.copytree("/lib/systemd/system", tmp_path / "lib" / "systemd" / "system", symlinks=True)
    folder = tmp_path / "etc" / "systemd" / "system"
    (folder / "backup.service.d").mkdir(parents=True)
    (folder / "backup.service").write_text(BACKUP)
    for name in ("usr/local/bin/jobmonctl", "usr/local/bin/backup", "bin/sh", "bin/true"):
        command = tmp_path / name
        command.parent.mkdir(parents=True, exist_ok=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    return tmp_path


def blocks(start: str) -> list[str]:
    return [block + "\n" for block in literal_blocks(GUIDE) if block.startswith(start)]


def verify(root: Path, *names: str) -> str:
    command = (program("systemd-analyze", "systemd"), "verify", f"--root={root}", *names)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_systemd_takes_the_drop_ins_and_units(units: Path) -> None:
    folder = units / "etc" / "systemd" / "system"
    (wrapped,) = blocks("[Service]")
    hook, failed, succeeded = blocks("[Unit]")
    drop_in = folder / "backup.service.d" / "jobmon.conf"
    drop_in.write_text(wrapped)
    assert verify(units, "backup.service") == ""
    drop_in.write_text(wrapped.replace("bin/jobmonctl", "bin/jobmonctrl"))
    assert "jobmonctrl" in verify(units, "backup.service")
    drop_in.write_text(hook)
    (folder / "jobmon-failed@.service").write_text(failed)
    (folder / "jobmon-succeeded@.service").write_text(succeeded)
    assert verify(units, "backup.service", "jobmon-failed@backup.service", "jobmon-succeeded@backup.service") == ""


@pytest.mark.parametrize(("unit", "status"), [(1, "CRITICAL"), (2, "OK")])
def test_the_commands_of_the_units_log_how_a_unit_ended(
    database: Database, session: psycopg.Connection, unit: int, status: str, tmp_path: Path
) -> None:
    (command,) = re.findall(r"^ExecStart=-(.+)$", blocks("[Unit]")[unit], re.MULTILINE)
    words = shlex.split(
        command.replace("%i", "backup").replace(
            "-d etl", shlex.join(["--spool", str(tmp_path / "spool"), *database.options])
        )
    )
    subprocess.run([sys.executable, "-m", "check_jobmon.ctl", *words[1:]], timeout=60, check=False, cwd=SOURCES)
    assert session.execute("SELECT job_name, status FROM jobmon.job_log").fetchall() == [("BACKUP", status)]


def test_a_real_cron_runs_the_wrapped_entry(database: Database, session: psycopg.Connection, tmp_path: Path) -> None:
    """In a mount namespace in which cron finds no other entry."""
    cron = program("cron", "cron")
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root can make a mount namespace")
    (block,) = blocks("# m h dom")
    *times, user, command = block.splitlines()[1].split(None, 6)
    assert times == ["30", "2", "*", "*", "*"]
    assert pwd.getpwnam(user)
    head, _, dump = command.partition(" -- ")
    # run by root, and with a dump that goes where nobody else's is
    where = shlex.join(["--spool", str(tmp_path / "spool"), *database.options])
    dump = dump.replace("/var/backups/etl.dump", str(tmp_path / "etl.dump")).removesuffix(" etl")
    dump = dump.replace(
        "pg_dump", shlex.join([str(database.server.binaries / "pg_dump"), "-h", str(database.server.folder)])
    )
    dump += f" -p {database.server.port} -U postgres {database.name}"
    jobmonctl = shlex.join([sys.executable, "-m", "check_jobmon.ctl"])
    entry = (
        f"* * * * * root cd {SOURCES} && {head.replace('jobmonctl', jobmonctl, 1).replace('-d etl', where)} -- {dump}\n"
    )
    crontab = tmp_path / "crontab"
    crontab.write_text(entry)
    crontab.chmod(0o644)
    script = """
        mount -t tmpfs none /var/spool/cron && mkdir /var/spool/cron/crontabs && mount -t tmpfs none /etc/cron.d
        mount -t tmpfs none /run && touch /etc/crontab && mount --bind /dev/null /etc/crontab
        cp "$0" /etc/cron.d/site && exec "$1" -f
    """
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, str(crontab), cron]
    with subprocess.Popen(unshare, stdin=subprocess.DEVNULL, cwd="/") as daemon:
        try:
            until(lambda: value(session, "SELECT count(*) FROM jobmon.job_log WHERE end_time IS NOT NULL") > 0, 100)
        finally:
            daemon.terminate()
    assert session.execute("SELECT DISTINCT job_name, status FROM jobmon.job_log").fetchall() == [
        ("NIGHTLY DUMP", "OK")
    ]
    assert (tmp_path / "etl.dump").stat().st_size > 0
