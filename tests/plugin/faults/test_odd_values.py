"""Values that a column's type takes and no job would log: that job is odd, and all others are judged and told as ever."""

import contextlib
import json
from typing import Any, NoReturn

import psycopg
import pytest

from check_jobmon.ctl import dispatch
from check_jobmon.plugin import cli
from tests.database import Database, run_module, value
from tests.plugin.targets.test_openmetrics import parsed

ODD = {
    "timestamp with time zone": ("infinity", "-infinity", "294276-12-31", "4714-11-24 BC"),
    "interval": ("infinity", "-infinity", "178000000 years", "-178000000 years"),
    "real": ("infinity", "-infinity", "NaN", "1e38"),
    "integer": ("2147483647", "-2147483648", "0"),
    "smallint": ("32767",),
}
TABLES = ("job_log", "job_detail", "job_check_log", "job_check_config")
READERS = (["status"], ["show"], ["like", "odd"], ["failed"], ["running"])
READERS_OF_RUNS = (["show", "{odd}"], ["history", "{odd}"])
"""They show of one job what READERS show of all jobs."""
READERS_OF_STEPS = (["detail", "{odd}"], ["detail", "{open}"])
CONFIGURATION = """
    INSERT INTO jobmon.job_check_config
    SELECT name, '1 hour', '2 hours', true, 0, '-infinity' FROM unnest(%s::text[]) AS name
"""
ROWS = """
    WITH run AS (
        INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
             VALUES ('x', %(odd)s, now() - interval '2 days', now() - interval '1 day', 'CRITICAL', 1),
                    ('x', %(open)s, now() - interval '1 day', NULL, NULL, pg_backend_pid())
          RETURNING job_id, start_time, end_time
    )
    INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, elapsed_time)
         SELECT job_id, 'load', start_time, end_time, 1 FROM run
"""


def no_json(constant: str) -> NoReturn:
    """What Python's parser accepts, and no other."""
    raise AssertionError(constant)


def answers(database: Database, capfd: pytest.CaptureFixture[str], *lines: list[str]) -> list[str]:
    """What the programs print, each of which does what it is for."""
    printed = []
    for line in lines:
        plugin = not line or line[0].startswith("-")
        program = cli.main if plugin else dispatch.main
        status = program([*line[: not plugin], *database.options, *line[not plugin :]])
        output = capfd.readouterr()
        assert (status, output.err) == (2 if plugin else 0, ""), (line, output)
        printed.append(output.out)
    return printed


def odd_jobs(session: psycopg.Connection, table: str) -> dict[str, dict[str, str]]:
    """Make two jobs, one with a failed run and one with an open run, for each odd value of each column of a table.

    Returns what was changed, and the names of the two. What a trigger refuses is left out.
    """
    columns = session.execute(
        "SELECT quote_ident(a.attname), format_type(a.atttypid, NULL) FROM pg_attribute AS a"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND format_type(a.atttypid, NULL) = ANY (%s)",
        [f"jobmon.{table}", list(ODD)],
    ).fetchall()
    assert columns
    session.execute(CONFIGURATION, [["VICTIM"]])
    of_these = "job_name = ANY (%s)"
    if table == "job_detail":
        of_these = f"job_id IN (SELECT job_id FROM jobmon.job_log WHERE {of_these})"
    made: dict[str, dict[str, str]] = {}
    for column, type_name in columns:
        for odd in ODD[type_name]:
            if odd.endswith("infinity") and type_name == "interval" and session.info.server_version < 170000:
                continue  # there it has none
            names = {"odd": f"WITH ODD {len(made)}", "open": f"WITH OPEN {len(made)}"}
            change = f"UPDATE jobmon.{table} SET {column} = '{odd}' WHERE {of_these}"
            with contextlib.suppress(psycopg.errors.InvalidParameterValue), session.transaction():
                session.execute(CONFIGURATION, [list(names.values())])
                session.execute(ROWS, names)
                assert session.execute(change.encode(), [list(names.values())]).rowcount > 0, change
                made[change] = names
    return made


@pytest.mark.parametrize("table", TABLES)
def test_odd_rows_hide_no_other_job(
    database: Database, session: psycopg.Connection, table: str, capfd: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    targets = tmp_path / "targets.yml"
    place = ", ".join(f"{name}: {text}" for name, text in database.parameters.items())
    targets.write_text(f"hosts: {{here: {{{place}}}}}\n")
    jobs = odd_jobs(session, table)
    plugin, long = answers(database, capfd, [], ["-vv"])
    # as a process of its own: it bounds its memory, and pytest's would count
    many = run_module("check_jobmon", "--targets", str(targets), "--output", "json", "--per-job")
    assert (many.status, many.stderr) == (2, "")
    assert "VICTIM missing, no run has ever completed" in plugin
    assert "a bug" not in plugin + long
    assert "VICTIM" in json.dumps(json.loads(many.stdout, parse_constant=no_json))
    metrics = run_module("check_jobmon", "--targets", str(targets), "--output", "openmetrics")
    states = parsed(metrics.stdout)["jobmon_job_state"]
    assert states[frozenset({("job", "VICTIM"), ("target", "here")})] == 2, metrics
    assert "VICTIM" in answers(database, capfd, ["status"])[0]
    assert "VICTIM" in answers(database, capfd, ["report", "-o", "-"])[0]
    in_text, in_json = list(READERS), list(READERS)
    for number, names in enumerate(jobs.values()):
        runs, steps = (
            [[word.format(**names) for word in line] for line in lines] for lines in (READERS_OF_RUNS, READERS_OF_STEPS)
        )
        # what is shown of other tables' values, text and JSON show in turn
        shown = table in ("job_log", "job_detail")
        in_text += runs[number % 2 :: 2] + (steps if shown else steps[number % 2 :: 2])
        in_json += runs[1 - number % 2 :: 2] + (steps if shown else steps[1 - number % 2 :: 2])
    answers(database, capfd, *in_text)
    for line in in_json:
        (text,) = answers(database, capfd, [*line, "--json"])
        json.loads(text, parse_constant=no_json)
    assert "VICTIM: MISSING" in value(session, "SELECT alert_text FROM jobmon.check_job_status()")
