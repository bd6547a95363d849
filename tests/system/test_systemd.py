"""contrib/systemd and contrib/cron: systemd and cron take the files as they are, and their commands do what they say.

So are the units of contrib/prometheus taken; tests/system/test_prometheus.py runs their command.
"""

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import psycopg
import pytest

from tests.database import Database, Output, value
from tests.system.daemons import CONTRIB, program

UNITS = sorted((CONTRIB / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
TIMERS = [unit for unit in UNITS if unit.suffix == ".timer"]
REPORT = CONTRIB / "report" / "jobmonctl-report.service"
OTHERS = [
    path
    for name in ("prometheus", "report")
    for path in sorted((CONTRIB / name).glob("*.*"))
    if path.suffix in (".service", ".timer")
]
OTHER_SERVICES = [unit for unit in OTHERS if unit.suffix == ".service"]
OTHER_TIMERS = [unit for unit in OTHERS if unit.suffix == ".timer"]
CRON = CONTRIB / "cron" / "check_jobmon"
MOST_EXPOSED = 20
"""In tenths, of 100: systemd calls less than 20 `OK`."""


def _names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


@pytest.fixture
def analyze() -> str:
    """The program that judges units."""
    return program("systemd-analyze", "systemd")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine's root folder with systemd's own units, ours where a site copies them, and a jobmonctl."""
    shutil.copytree("/lib/systemd/system", tmp_path / "lib" / "systemd" / "system", symlinks=True)
    folder = tmp_path / "etc" / "systemd" / "system"
    folder.mkdir(parents=True)
    for unit in [*UNITS, *OTHERS]:
        (folder / unit.name).write_bytes(unit.read_bytes())
    for name in ("jobmonctl", "check_jobmon"):
        command = tmp_path / "usr" / "local" / "bin" / name
        command.parent.mkdir(parents=True, exist_ok=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    return tmp_path


def _run(*command: str) -> Output:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return Output(done.returncode, done.stdout, done.stderr)


def test_there_is_a_timer_for_each_service() -> None:
    assert (
        [path.stem for path in SERVICES] == [path.stem for path in TIMERS] == ["jobmonctl-bootstrap", "jobmonctl-clear"]
    )
    assert [path.stem for path in OTHER_SERVICES] == [path.stem for path in OTHER_TIMERS]


def test_systemd_takes_the_units_as_they_are(analyze: str, root: Path) -> None:
    done = _run(analyze, "verify", f"--root={root}", *_names([*UNITS, *OTHERS]))
    assert (done.status, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("ProtectHome=", "ProtectHouse="), ("jobmonctl ", "jobmonctrl "), ("Type=oneshot", "Type=onceshot")],
)
def test_a_mistake_in_a_unit_would_be_found(analyze: str, root: Path, right: str, wrong: str) -> None:
    unit = root / "etc" / "systemd" / "system" / SERVICES[0].name
    text = unit.read_text()
    assert f"\n{right}" in text or f"={right}" in text
    unit.write_text(text.replace(f"\n{right}", f"\n{wrong}").replace(f"={right}", f"={wrong}"))
    assert _run(analyze, "verify", f"--root={root}", unit.name).stderr != ""


@pytest.mark.parametrize("service", [*SERVICES, *OTHER_SERVICES], ids=_names([*SERVICES, *OTHER_SERVICES]))
def test_the_services_are_hardened(analyze: str, service: Path) -> None:
    done = _run(analyze, "security", "--no-pager", "--offline=true", f"--threshold={MOST_EXPOSED}", str(service))
    assert done.status == 0, done.stdout


@pytest.mark.parametrize("timer", [*TIMERS, *OTHER_TIMERS], ids=_names([*TIMERS, *OTHER_TIMERS]))
def test_the_timers_have_a_next_time(analyze: str, timer: Path) -> None:
    (calendar,) = re.findall(r"^OnCalendar=(.+)$", timer.read_text(), re.MULTILINE)
    done = _run(analyze, "calendar", calendar)
    assert done.status == 0
    assert "Next elapse: " in done.stdout


@pytest.mark.parametrize("service", SERVICES, ids=_names(SERVICES))
def test_the_services_commands_do_their_work(database: Database, session: psycopg.Connection, service: Path) -> None:
    (command,) = re.findall(r"^ExecStart=(.+)$", service.read_text(), re.MULTILINE)
    _assert_works(database, session, *shlex.split(command))


def test_the_reports_file_is_the_one_that_nginx_serves(database: Database, tmp_path: Path) -> None:
    (command,) = re.findall(r"^ExecStart=jobmonctl (.+)$", REPORT.read_text(), re.MULTILINE)
    (folder,) = re.findall(r"^StateDirectory=(.+)$", REPORT.read_text(), re.MULTILINE)
    (served,) = re.findall(r"^ +alias (.+);$", (CONTRIB / "report" / "nginx.conf").read_text(), re.MULTILINE)
    assert served in command
    assert served == f"/var/lib/{folder}/jobs.html"
    name, *arguments = shlex.split(command.replace(f"/var/lib/{folder}", str(tmp_path)))
    output = database.ctl(name, *arguments)
    assert (output.status, output.stdout, output.stderr) == (0, "", "")
    assert (tmp_path / "jobs.html").read_text().startswith("<!DOCTYPE html>")


def test_the_cron_file_has_the_same_commands() -> None:
    commands = [re.findall(r"^ExecStart=(.+)$", service.read_text(), re.MULTILINE)[0] for service in SERVICES]
    assert [entry[1:] for entry in _crontab()[1]] == [("postgres", command) for command in commands]


@pytest.mark.parametrize("entry", [0, 1])
def test_the_cron_files_commands_do_their_work(
    database: Database, session: psycopg.Connection, entry: int, tmp_path: Path
) -> None:
    settings, entries = _crontab()
    assert "%" not in entries[entry][2]
    _assert_works(database, session, settings["SHELL"], "-c", entries[entry][2], settings=settings)


def test_cron_takes_the_file(tmp_path: Path) -> None:
    """What `crontab` examines is a user's file, which has no column for the user."""
    crontab = program("crontab", "cron")
    users, bad = tmp_path / "users", tmp_path / "bad"
    users.write_text(re.sub(r"^(\S+(?: +\S+){4}) +postgres +", r"\1 ", CRON.read_text(), flags=re.MULTILINE))
    bad.write_text("17 44 * * * jobmonctl bootstrap\n")
    assert _run(crontab, "-n", str(users)).status == 0
    assert _run(crontab, "-n", str(bad)).status != 0


def _crontab() -> tuple[dict[str, str], list[tuple[str, str, str]]]:
    """The settings, and of each entry when, as whom and what, by the rules of crontab(5)."""
    settings: dict[str, str] = {}
    entries = []
    for line in CRON.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        setting = re.fullmatch(r"(\w+) *= *(.*)", line)
        if setting:
            settings[setting[1]] = setting[2]
        else:
            *times, user, command = line.split(None, 6)
            assert len(times) == 5, line
            assert all(re.fullmatch(r"[0-9*,/-]+", time) for time in times), line
            entries.append((" ".join(times), user, command))
    assert CRON.read_text(encoding="utf-8").endswith("\n"), "cron ignores a last line without an end"
    return settings, entries


def _assert_works(
    database: Database, session: psycopg.Connection, *command: str, settings: dict[str, str] | None = None
) -> None:
    """Run the command by a bare environment that has only what names the database, twice: it is silent and works."""
    clears = "clear" in " ".join(command)
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " SELECT 'x', 'OLD', now() - age, now() - age, 'OK', 0 FROM unnest('{11 months,13 months}'::interval[]) AS age"
    )
    if not clears:
        session.execute("DROP FUNCTION jobmon.show_running(integer)")
    parameters = {f"PG{name.upper()}": str(given) for name, given in database.parameters.items() if name != "dbname"}
    environment = {
        **(settings or {}),
        **parameters,
        "PGDATABASE": database.name,
        "HOME": os.environ.get("HOME", "/"),
        "PATH": f"{sysconfig.get_path('scripts')}:{(settings or {}).get('PATH', '/usr/bin:/bin')}",
    }
    printed = []
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        printed.append(done.stdout)
    assert printed[1] == ""
    if clears:
        assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE job_name = 'OLD'") == 1
    else:
        assert printed[0].startswith('repaired schema "jobmon"')
        assert value(session, "SELECT to_regproc('jobmon.show_running') IS NOT NULL")
