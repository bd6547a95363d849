"""jobmonctl config suggest, on a real server: what it proposes can be applied, and is then judged."""

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
import yaml

from check_jobmon.config.suggestion import suggest as suggested
from check_jobmon.schema.scripts import REFUSAL
from tests.config.test_suggestion import LOGS, NOW
from tests.database import Database, Output, run_module, value

NIGHTS = """
    INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
    SELECT 'etl', %s, r.start, r.start + '20 minutes', 'OK', 1
      FROM generate_series(60, 0, -1) AS days
     CROSS JOIN LATERAL (
            SELECT (date_trunc('day', now() AT TIME ZONE %s) - days * interval '1 day' + %s::interval) AT TIME ZONE %s
                   + interval '3 seconds' AS start
           ) AS r
     WHERE r.start + interval '20 minutes' < now()
"""


def suggest(database: Database, *arguments: str) -> Output:
    """Run `jobmonctl config suggest` on the database."""
    return run_module("check_jobmon.ctl", "config", "suggest", *database.options, *arguments)


def nights(session: psycopg.Connection, name: str, ago: float, zone: str = "UTC") -> str:
    """Log sixty runs, the last of them `ago` hours ago, by the clock of a zone; returns minute and hour of their schedule."""
    last = value(session, "SELECT date_trunc('minute', now() - %s * interval '1 hour') AT TIME ZONE %s", ago, zone)
    session.execute(NIGHTS, [name, zone, timedelta(hours=last.hour, minutes=last.minute), zone])
    return f"{last.minute} {last.hour}"


def test_what_is_suggested_can_be_applied_and_is_judged(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    at = nights(session, "NIGHTLY: ETL", 5)
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid) VALUES ('me', 'ONCE', '2026-01-01', 1)"
    )
    output = suggest(database)
    assert (output.status, output.stderr) == (0, "")
    clock = "{1:0>2}:{0:0>2}".format(*at.split())
    first = (datetime.now(timezone.utc) - timedelta(days=60)).date()
    assert output.stdout in [
        "# as suggested by: jobmonctl config suggest --timezone UTC\n"
        "jobs:\n"
        f"  # {number} of {number} runs since {day} began {clock} every day\n"
        "  # half took at most 20m, 95% at most 20m\n"
        f'  "NIGHTLY: ETL": {{warn: 15m, error: 1h, schedule: "{at} * * *", slow: 45m}}\n'
        "  # ONCE: no schedule found: 1 run, 2026-01-01\n"
        for number, day in ((61, first), (60, first))
    ]
    file = tmp_path / "jobs.yml"
    file.write_text(output.stdout)
    assert run_module("check_jobmon.ctl", "config", "apply", *database.options, str(file)).stdout.splitlines()[0] == (
        f'+ NIGHTLY: ETL: warn 15m, error 1h, sensitivity 0, active true, schedule "{at} * * *", slow 45m'
    )
    assert database.check("-j", "NIGHTLY*").first_line.startswith("JOBMON OK")
    # and a day later, without another run
    session.execute(
        "UPDATE jobmon.job_log SET start_time = start_time - interval '1 day', end_time = end_time - interval '1 day'"
    )
    missing = database.check("-j", "NIGHTLY*").first_line
    assert missing.startswith("JOBMON CRITICAL - 1 critical, 0 ok: NIGHTLY: ETL"), missing
    assert f"missing, was due {clock} UTC" in missing


@pytest.mark.parametrize("log", [log for log, (_, schedule) in LOGS.items() if schedule])
def test_by_a_suggested_schedule_hardly_any_run_would_have_been_late(session: psycopg.Connection, log: str) -> None:
    runs = sorted(LOGS[log][0]())
    zone = runs[0].start.tzinfo
    found = suggested(runs, NOW.astimezone(zone))
    since = re.findall(r"since (\S+) ", found.why[0])[0]
    late = value(
        session,
        """
        SELECT avg((r.start - jobmon.next_run(%s, %s, r.before + interval '1 minute') > %s::interval)::int)
          FROM (SELECT s.start, lag(s.start) OVER (ORDER BY s.start) AS before FROM unnest(%s::timestamptz[]) AS s(start)) AS r
        """,
        *(found.values["schedule"], str(zone), str(found.values["warn"])),
        [run.start for run in runs if f"{run.start:%Y-%m-%d}" >= since],
    )
    assert late <= (0.12 if log == "a changed schedule" else 0.05)  # some of its runs are of before the change


def test_a_schedule_is_in_the_zone_that_is_given(database: Database, session: psycopg.Connection) -> None:
    at = nights(session, "ETL", 3, "America/Lima")
    output = suggest(database, "--timezone", "america/lima", "--since", "30d", "Etl")
    assert (
        f'  ETL: {{warn: 15m, error: 1h, schedule: "{at} * * *", timezone: "America/Lima", slow: 45m}}\n'
        in output.stdout
    )
    configured = "INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '2 days', true)"
    session.execute(configured)
    assert suggest(database).stdout == "# as suggested by: jobmonctl config suggest --timezone UTC\njobs: {}\n"
    assert " * * *" in suggest(database, "etl").stdout


def test_what_can_t_be_looked_for_is_refused_in_a_sentence(database: Database, session: psycopg.Connection) -> None:
    nights(session, "ETL", 3)
    for arguments, reason in {
        ("--timezone", "Europe/Berln"): 'the nearest one there is "Europe/Berlin"\n',
        ("--timezone", "foo+3"): 'time zone "foo+3" is not in pg_timezone_names; the nearest',
        ("--timezone", "CET"): 'time zone "CET" is an abbreviation, whose clock never changes: name a place',
        ("ETK",): 'no job "ETK" was ever logged or configured: did you mean "ETL"?',
    }.items():
        output = suggest(database, *arguments)
        assert (output.status, output.stdout, output.stderr.count("\n")) == (1, "", 1)
        assert reason in output.stderr
    for age in ("60", "-1d", "infinity", "", "1000y", "-infinity", "x"):
        output = suggest(database, f"--since={age}")
        assert (output.status, output.stdout) == (2, "")
        assert output.stderr.startswith("jobmonctl config suggest: argument --since: ")
        assert output.stderr.count("\n") == 1


def test_odd_names_and_times_neither_break_the_file_nor_the_command(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    names = ["A\nEVIL: {WARN: 1H}", "{X}: [", "lower case", "\x1b[31mRED", "É" * 400, "'\"", "# NO"]
    for name in names:
        nights(session, name, 3)
    odd = "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid) VALUES ('me', %s, %s, %s, 'OK', 1)"
    for name in ("ODD\nJOB", names[0]):
        for start, end in (
            ("-infinity", "infinity"),
            ("infinity", None),
            ("0044-03-15 BC", "2026-01-01"),
            ("20000-01-01", None),
        ):
            session.execute(odd.encode(), [name, start, end])
    output = suggest(database)
    assert (output.status, output.stderr, output.stdout.count(' * * *", slow')) == (0, "", len(names))
    assert "  # ODD JOB: no schedule found: 0 runs\n" in output.stdout
    assert "\x1b" not in output.stdout
    found = yaml.safe_load(output.stdout.replace("!exact ", ""))["jobs"]
    assert sorted(found) == sorted(names)


def test_runs_that_were_refused_or_logged_afterwards_count_as_the_check_counts_them(
    database: Database, session: psycopg.Connection
) -> None:
    nights(session, "ETL", 3)
    session.execute("UPDATE jobmon.job_log SET pid = 0")
    refused = """
        WITH run AS (
            INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
            SELECT 'me', job_name, start_time + n.number * interval '1 minute', start_time + interval '10 minutes', 'WARNING', 1
              FROM jobmon.job_log CROSS JOIN generate_series(1, 3) AS n(number)
            RETURNING job_id, start_time
        )
        INSERT INTO jobmon.job_detail (job_id, action, start_time)
        SELECT job_id, %s, start_time FROM run
    """
    session.execute(refused, [REFUSAL])
    output = suggest(database)
    assert "warn: 45m, error: 1h 30m, schedule" in output.stdout
