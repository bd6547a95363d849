"""The commands at the prompt on a hot standby: all that reads works, and nothing is claimed that it can't know."""

import psycopg
import pytest

from tests.ctl.prompt import a_run, jobmonctl, refusal
from tests.database import Database, run_module, value
from tests.system.test_standby import Standby, standby

__all__ = ["standby"]


def test_an_open_run_is_neither_running_nor_crashed(
    standby: Standby, database: Database, session: psycopg.Connection
) -> None:
    job = a_run(session, "etl", ("load", "OK", ""), end="")
    there = standby.of(database)
    assert " open " in jobmonctl(there, "show").stdout.splitlines()[1]
    assert jobmonctl(there, "detail", str(job)).stdout.startswith(f"job {job} (ETL): open\n")
    assert jobmonctl(there, "history", "etl").stdout.startswith("ETL: 1 open\n")
    assert ": open for " in jobmonctl(there, "report", "-o", "-").stdout
    assert jobmonctl(there, "status").status == 0
    suggested = run_module("check_jobmon.ctl", "config", "suggest", *there.options)
    assert "# ETL: no schedule found: 1 run" in suggested.stdout
    assert refusal(jobmonctl(there, "cancel", "-y", str(job))) == (
        f"jobmonctl cancel: job {job} (ETL) can't be cancelled from this standby: connect to the primary"
    )


def test_silences_count_and_are_listed_and_none_begins_or_ends(
    standby: Standby, database: Database, session: psycopg.Connection
) -> None:
    for _ in range(3):
        a_run(session, "etl", end="fail_job(%s)")
    number = value(session, "SELECT jobmon.silence('e*', now() + interval '1 hour', 'why')")
    there = standby.of(database)
    assert there.check().first_line == "JOBMON OK - 1 ok, 1 silenced: no alert, but ETL is silenced"
    assert " E* " in jobmonctl(there, "silences").stdout.splitlines()[1]
    for command in (["silence", "etl", "2h", "-m", "why"], ["unsilence", str(number)]):
        assert refusal(jobmonctl(there, *command)) == (
            f"jobmonctl {command[0]}: the server is a standby, where nothing can be changed: connect to the primary"
        )


@pytest.mark.parametrize("command", [["ack", "etl"], ["clear", "0 days"]])
def test_what_writes_is_refused_in_one_line(
    standby: Standby, database: Database, session: psycopg.Connection, command: list[str]
) -> None:
    a_run(session, "etl", end="fail_job(%s)")
    output = jobmonctl(standby.of(database), command[0], "-y", *command[1:])
    assert (output.status, output.stderr.count("\n")) == (1, 1)
    assert "standby" in output.stderr or "read-only" in output.stderr
