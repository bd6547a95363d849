"""Times and durations that no clock shows and only a hand can have written: every command shows them, and works beside them."""

import itertools
import json

import psycopg
import pytest

from tests.database import Database, value

ODD = {
    "infinity": "infinity",
    "-infinity": "-infinity",
    "0044-03-15 12:00:00+00 BC": "0044-03-15 12:00:00",
    "294276-12-31 23:59:59+00": "294276-12-31 23:59:59",
    "4713-01-02 00:00:00+00 BC": "4713-01-02 00:00:00",
}
"""By what PostgreSQL takes: what must be seen of it."""


@pytest.fixture
def odd(database: Database, session: psycopg.Connection) -> psycopg.Connection:
    """A job of a run for each pair of such times, another of open runs, all with steps of such times, and one that is fine."""
    session.execute(f"ALTER DATABASE {database.name} SET TimeZone = 'UTC'".encode())
    times = ["now", *ODD]
    pairs = [("ODD", start, end) for start, end in itertools.product(times, times)]
    for name, start, stop in [*pairs, *(("OPEN", start, None) for start in times)]:
        session.execute(
            "WITH run AS (INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
            " VALUES ('me', %s, %s, %s, %s, 99999999) RETURNING job_id)"
            " INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, elapsed_time, status)"
            " SELECT job_id, 'load', s, e, took, 'CRITICAL' FROM run, unnest(%s::timestamptz[]) AS s,"
            " unnest(%s::timestamptz[]) AS e, unnest('{NaN,infinity,-infinity,1e38,NULL}'::real[]) AS took",
            [name, start, stop, stop and "CRITICAL", times, [*times, None]],
        )
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " VALUES ('me', 'FINE', now(), now(), 'OK', 0)"
    )
    return session


READERS = [["show"], ["show", "odd"], ["show", "open"], ["like", "o"], ["failed"], ["running"], ["history", "odd"]]


@pytest.mark.parametrize(
    "command", [*READERS, ["history", "open"], ["detail", "odd"], ["detail", "open"]], ids=" ".join
)
def test_every_command_shows_odd_times(database: Database, odd: psycopg.Connection, command: list[str]) -> None:
    done = database.ctl(*command, "-n", "200")
    assert (done.status, done.stderr) == (0, "")
    if command not in (["running"], ["failed"]):
        for written, seen in ODD.items():
            assert seen in done.stdout, written
    done = database.ctl(*command, "-n", "200", "--json")
    runs = json.loads(done.stdout, parse_constant=pytest.fail)
    assert (done.status, done.stderr, bool(runs)) == (0, "", command != ["running"])
    if runs and command[0] != "failed":
        assert set(ODD) <= {run["start_time"] for run in runs}


def test_what_acts_works_beside_odd_times(database: Database, odd: psycopg.Connection) -> None:
    done = database.ctl("status", "--problems")
    assert (done.status, done.stderr) == (0, "")
    assert "FINE" not in done.stdout
    assert database.check("-j", "fine").stdout.startswith("JOBMON OK - 1 ok")
    done = database.ctl("ack", "-y", "odd")
    assert (done.status, done.stderr) == (0, "")
    assert "36 failures of ODD" in done.stdout
    with database.connect() as session:
        backend = session.info.backend_pid
        odd.execute("UPDATE jobmon.job_log SET pid = %s WHERE job_name = 'OPEN' AND start_time = 'infinity'", [backend])
        job = value(odd, "SELECT job_id FROM jobmon.job_log WHERE pid = %s", backend)
        done = database.ctl("cancel", "-y", str(job))
        assert (done.status, done.stderr) == (0, "")
        assert "started infinity" in done.stdout
    done = database.ctl("clear", "-y", "90 days")
    assert (done.status, done.stderr) == (0, "")
    assert value(odd, "SELECT count(*) FROM jobmon.job_log WHERE start_time < '2000-01-01'") == 0
