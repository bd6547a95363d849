"""jobmonctl config suggest, on a real server: what it proposes can be applied, and is then judged."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg

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
        "# Suggested by: jobmonctl config suggest\n"
        "jobs:\n"
        f"  # {number} of {number} runs since {day} began {clock} every day\n"
        "  # half took at most 20m, 95% at most 20m\n"
        f'  "NIGHTLY: ETL": {{schedule: "{at} * * *", warn: 15m, error: 1h, slow: 45m}}\n'
        "  # ONCE: no schedule found: runs 1, 2026-01-01\n"
        for number, day in ((61, first), (60, first))
    ]
