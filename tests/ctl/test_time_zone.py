"""The times of an output are all in one zone, the session's or that of --utc or --local, and the zone is named once."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.config import ConfigFileError, hosts
from check_jobmon.demo.server import Server
from tests.ctl.prompt import a_run
from tests.database import Database, Output, new_database, run_module, until, value
from tests.parsers import commands
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.conftest import targets as targets
from tests.plugin.targets.test_checks import check

ZONES: dict[str, tuple[list[str], str, str, str]] = {
    "session": ([], "America/New_York", "E[SD]T", "2024-02-29 21:00:00"),
    "utc": (["--utc"], "UTC", "UTC", "2024-03-01 02:00:00"),
    "local": (["--local"], "Asia/Kolkata", "IST", "2024-03-01 07:30:00"),
}
"""Options, and how they show the zone, by its name or by its abbreviation, and 2:00 o'clock in UTC."""
ARGUMENTS: dict[tuple[str, ...], list[str]] = {
    ("like",): ["e"],
    ("history",): ["etl"],
    ("detail",): ["etl", "-n", "9"],
    ("report",): ["-o", "-"],
    ("cancel",): ["{alive}"],
    ("ack",): ["etl"],
    ("clear",): ["1 day"],
    ("partition",): ["--every", "month"],
    ("silence",): ["etl", "2h", "-j", "o*", "-m", "why", "--from", "tomorrow"],
    ("silences",): ["--all"],
    ("unsilence",): ["quiet"],
    ("config", "apply"): ["{file}"],
    ("config", "diff"): ["{file}"],
    ("config", "services"): ["--nagios"],
}
"""What the commands need. Those that would ask are not confirmed: they print what they would do."""
NO_SESSION = {("run",), ("config", "check")}
OFFSET = r"\d\d:\d\d(:\d\d(\.\d+)?)? ?[+-]\d\d"


UNCHANGING = {
    *(
        ("status",),
        ("show",),
        ("like",),
        ("failed",),
        ("running",),
        ("detail",),
        ("history",),
        ("report",),
        ("silences",),
    ),
    *(("config", "diff"), ("config", "export"), ("config", "services"), ("config", "suggest")),
    *(("cancel",), ("ack",), ("clear",)),
}
"""The commands that leave everything as it is, three of them because nobody confirms. The others have a log of their own."""


@pytest.fixture(scope="module")
def past(server: Server, template: str) -> Iterator[Database]:
    """Jobs with all the reasons that tell a time: one is due, one waits for it, one has crashed, one is silenced."""
    with new_database(server, template) as database:
        with database.connect() as session:
            _log_the_past(database, session)
        yield database


def _log_the_past(database: Database, session: psycopg.Connection) -> None:
    for name, columns, values in (
        ("DUE", "schedule, timezone, since", "'0 2 * * *', 'Europe/Berlin', '2024-01-01'"),
        ("WAITS", "depends_on", "'DUE'"),
        ("ETL", "since", "now()"),
        ("STUCK", "since", "now()"),
    ):
        session.execute(
            f"INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity, {columns})"
            f" VALUES ('{name}', '1 minute', '1 hour', true, 0, {values})".encode()
        )
    for name in ("DUE", "WAITS", "ETL", "QUIET"):
        job = a_run(session, name, ("load", "CRITICAL", "boom"), end="fail_job(%s)")
        session.execute(
            "UPDATE jobmon.job_log SET start_time = '2024-03-01 02:00+00', end_time = '2024-03-01 02:10+00' WHERE job_id = %s",
            [job],
        )
    session.execute("UPDATE jobmon.job_check_config SET first_due = first_due")
    for name in ("ETL", "LOST", "STUCK"):
        with database.connect() as other:
            a_run(other, name, end="")
    # the links of those sessions would stay for ten seconds
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    session.execute(f"SELECT pg_terminate_backend(pid) {others}".encode())
    until(lambda: not value(session, f"SELECT count(*) {others}"))
    session.execute(
        "INSERT INTO jobmon.job_silence (pattern, ends, created_by, reason)"
        " VALUES ('QUIET', now() + interval '1 day', 'me', 'known')"
    )


@contextlib.contextmanager
def _copy(past: Database) -> Iterator[tuple[Database, str]]:
    """A copy of it, with a run that is under way; and that run's id. Its sessions are in New York's time zone."""
    with new_database(past.server, past.name) as database:
        with database.connect() as session:
            session.execute(f"ALTER DATABASE {database.name} SET timezone = 'America/New_York'".encode())
        with database.connect() as session:
            yield database, str(a_run(session, "ALIVE", end=""))


@pytest.fixture(scope="module")
def log(past: Database) -> Iterator[tuple[Database, str]]:
    """The log and the run that is under way, for whatever changes nothing."""
    with _copy(past) as copied:
        yield copied


@pytest.fixture
def own_log(past: Database) -> Iterator[tuple[Database, str]]:
    """The same for one test, which may change it."""
    with _copy(past) as copied:
        yield copied


def one_zone(output: Output, zone: str, abbreviation: str) -> None:
    """No offset, no other zone, and this one once if there is any time."""
    # but for that of schedules
    shown = re.sub(r"Europe/Berlin|--timezone \S+", "", output.stdout + output.stderr)
    assert "usage" not in shown, shown
    assert "Traceback" not in shown, shown
    assert not re.search(OFFSET, shown), shown
    zones = re.findall(r"\b(?:UTC|Asia/Kolkata|IST|America/New_York|E[SD]T|CES?T|Etc/\w+)\b", shown)
    assert len(zones) == bool(re.search(r"\d\d:\d\d", shown)), (zones, shown)
    assert all(re.fullmatch(f"{zone}|{abbreviation}", name) for name in zones), (zones, shown)


@pytest.mark.parametrize("command", [path for path in commands() if path not in NO_SESSION], ids=" ".join)
def test_every_command_names_one_zone_once(
    request: pytest.FixtureRequest, tmp_path: Path, command: tuple[str, ...]
) -> None:
    database, alive = request.getfixturevalue("log" if command in UNCHANGING else "own_log")
    file = tmp_path / "jobs.yml"
    file.write_text("jobs: {ETL: {warn: 2h, error: 3h}}\n")
    given = [word.format(file=file, alive=alive) for word in ARGUMENTS.get(command, [])]
    for options, zone, abbreviation, two in ZONES.values():
        output = run_module("check_jobmon.ctl", *command, *database.options, *given, *options, TZ="Asia/Kolkata")
        assert output.status != 2, output
        one_zone(output, zone, abbreviation)
        if command[0] in ("show", "history", "detail", "like"):
            assert two in output.stdout
        if command == ("status",):
            assert f" {zone})\n" in output.stdout


SELECTIONS: tuple[list[str], ...] = ([], ["-j", "due"], ["-j", "waits"], ["-j", "lost"], ["-j", "quiet"])


@pytest.mark.parametrize("selection", range(len(SELECTIONS)), ids=lambda number: str(SELECTIONS[number]))
@pytest.mark.parametrize("zone", ZONES)
def test_the_plugin_names_one_zone_once(log: tuple[Database, str], zone: str, selection: int) -> None:
    """Each selection of jobs in each zone, with another verbosity in each zone."""
    database, _ = log
    jobs = SELECTIONS[selection]
    options, name, abbreviation, _ = ZONES[zone]
    verbosity = ([], ["-v"], ["-vv"])[([*ZONES].index(zone) + selection) % 3]
    output = database.check(*verbosity, *jobs, *options, TZ="Asia/Kolkata")
    one_zone(output, name, abbreviation)
    if verbosity:
        assert f"LAST RUN ({name})" in output.stdout


def test_json_keeps_the_offset_of_each_time(log: tuple[Database, str]) -> None:
    database, _ = log
    for options, offset in ((["--utc"], "+00:00"), (["--local"], "+05:30"), ([], "-05:00")):
        runs = json.loads(database.ctl("show", "due", "--json", *options, TZ="Asia/Kolkata").stdout)
        assert [run["start_time"][26:] for run in runs] == [offset]


def test_the_age_in_the_first_line_is_that_in_the_table(database: Database, session: psycopg.Connection) -> None:
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 minute', '1000 days', true, 0, '-infinity')")
    job = a_run(session, "etl")
    for age, shown in (
        ("59 min 30 s", "59m"),
        ("60 min 30 s", "1h"),
        ("90 min 30 s", "1h 30m"),
        ("73 h 1 min", "3d 1h"),
    ):
        session.execute(
            "UPDATE jobmon.job_log SET start_time = now() - %s::interval, end_time = now() - %s::interval WHERE job_id = %s",
            [age, age, job],
        )
        for output in (database.check("-v"), database.ctl("status")):
            assert f"missing, last run {shown} ago (warning 1m)" in output.stdout
            row = next(line for line in output.stdout.splitlines() if line.startswith("WARNING"))
            assert re.match(rf"WARNING +ETL +\S+ \S+ +{shown} ", row), row


def test_the_end_of_summer_time_in_a_table(database: Database, session: psycopg.Connection) -> None:
    """The hour that comes twice is shown as the clock did: --utc tells which is which, and JSON."""
    for start in ("00:30", "01:30"):
        session.execute(
            "UPDATE jobmon.job_log SET start_time = %s WHERE job_id = %s",
            [f"2026-10-25 {start}+00", a_run(session, "etl")],
        )
    shown = database.ctl("show", PGTZ="Europe/Berlin").stdout
    assert re.findall(r"2026-10-25 [\d:]+", shown) == ["2026-10-25 02:30:00"] * 2
    assert shown.count("Europe/Berlin") == 1
    assert re.findall(r"2026-10-25 ([\d:]+)", database.ctl("show", "--utc").stdout) == ["01:30:00", "00:30:00"]
    runs = json.loads(database.ctl("show", "--json", PGTZ="Europe/Berlin").stdout)
    assert [run["start_time"] for run in runs] == [
        "2026-10-25T02:30:00.000000+01:00",
        "2026-10-25T02:30:00.000000+02:00",
    ]


def test_a_zone_that_the_server_does_not_know(database: Database) -> None:
    said = (
        'failed: FATAL: invalid value for parameter "TimeZone": "Mars/Olympus": give --utc, or set TZ for --local, or PGTZ, to a '
        "name in pg_timezone_names, such as Europe/Berlin"
    )
    for options, environment in ((["--local"], {"TZ": "Mars/Olympus"}), ([], {"PGTZ": "Mars/Olympus"})):
        output = database.check(*options, **environment)
        assert (output.status, output.stdout.count("\n"), output.stderr) == (3, 1, "")
        assert output.first_line.endswith(said)
        output = database.ctl("status", *options, **environment)
        assert (output.status, output.stdout, output.stderr.count("\n")) == (1, "", 1)
        assert output.stderr.endswith(f"{said}\n")


def test_utc_and_local_exclude_each_other(database: Database) -> None:
    assert "argument --local: not allowed with argument --utc" in database.check("--utc", "--local").first_line
    assert database.ctl("status", "--local", "--utc").status == 2


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Asia/Kolkata", "Asia/Kolkata"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("", "UTC"),
    ],
)
def test_the_local_zone_is_that_of_tz(monkeypatch: pytest.MonkeyPatch, given: str, name: str) -> None:
    monkeypatch.setenv("TZ", given)
    assert hosts.local_zone() == name


def test_a_zone_file_without_a_name_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy = tmp_path / "localtime"
    copy.write_bytes(b"TZif")
    monkeypatch.setenv("TZ", str(copy))
    with pytest.raises(ConfigFileError, match="doesn't tell its time zone's name: set TZ"):
        hosts.local_zone()


def test_each_of_many_targets_names_the_zone_once(log: tuple[Database, str], targets: Targets) -> None:
    database, _ = log
    for options, zone, abbreviation, _ in ZONES.values():
        output = check("--targets", targets({"one": database.parameters}), *options, "-v", TZ="Asia/Kolkata")
        one_zone(output, zone, abbreviation)
        assert f"LAST RUN ({zone})" in output.stdout
