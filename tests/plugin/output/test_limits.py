"""2,000 configured jobs: the output stays within --max-output, and what it counts is what there is."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from check_jobmon.demo.server import Server
from check_jobmon.text import label
from tests.database import Database, value
from tests.plugin.output.guidelines import Parsed, parse

JOBS = 2000
STATES = ("ok", "warning", "critical")
# By number: every 10th has failed, every 7th (not failed) is late, of these every other is past the error threshold,
# and every 50th is not active. The names are of every length and many alphabets.
GENERATE = f"""
    CREATE TABLE expected AS
    SELECT n,
           (ARRAY['LOAD', 'NIGHTLY ETL OF', 'CAFÉ', '夜間', 'A=B|C'])[n % 5 + 1] || ' ' || n || repeat(' X', n % 40) AS name,
           n % 50 <> 0 AS active,
           CASE WHEN n % 50 = 0 THEN 'none'
                WHEN n % 10 = 0 THEN 'critical'
                WHEN n % 14 = 0 THEN 'critical'
                WHEN n % 7 = 0 THEN 'warning'
                ELSE 'ok'
           END AS state
      FROM generate_series(1, {JOBS}) AS n;
    INSERT INTO jobmon.job_check_config SELECT name, '1 day', '2 days', active, 0, '-infinity' FROM expected;
    INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
    SELECT 'me', name, at - interval '1 minute', at, CASE WHEN n % 10 = 0 THEN 'CRITICAL' ELSE 'OK' END, 0
      FROM expected,
           LATERAL (SELECT now() - CASE WHEN n % 10 = 0 OR state = 'ok' OR NOT active THEN interval '1 hour'
                                        WHEN state = 'critical' THEN interval '3 days'
                                        ELSE interval '30 hours'
                                   END AS at) AS run;
    INSERT INTO jobmon.job_detail (job_id, action, start_time, status, message)
    SELECT job_id, 'load facts', start_time, status, 'duplicate key value violates unique constraint'
      FROM jobmon.job_log;
    ANALYZE
"""


@pytest.fixture(scope="module")
def many(server: Server, template: str) -> Iterator[Database]:
    """A database with so many jobs in mixed states, and the table `expected` that has the truth."""
    database = Database(server, "test_many_jobs")
    with Database(database.server, "postgres").connect() as maintenance:
        maintenance.execute(f"CREATE DATABASE {database.name} TEMPLATE {template}".encode())
        with database.connect() as session:
            session.execute(GENERATE.encode())
        yield database
        maintenance.execute(f"DROP DATABASE {database.name} WITH (FORCE)".encode())


@pytest.fixture(scope="module")
def truth(many: Database) -> Iterator[psycopg.Connection]:
    """A session to ask for the truth."""
    with many.connect() as session:
        yield session


def counts(truth: psycopg.Connection) -> dict[str, int]:
    """How many jobs are in each state."""
    return {state: value(truth, "SELECT count(*) FROM expected WHERE state = %s", state) for state in STATES}


def labelled(parsed: Parsed) -> set[str]:
    """The jobs' labels that the perfdata has; of each job all three figures."""
    figures = [figure.label.rpartition(" ") for figure in parsed.figures if " " in figure.label]
    jobs = {name for name, _, _ in figures}
    assert sorted((name, kind) for name, _, kind in figures) == sorted(
        (name, kind) for name in jobs for kind in ("age", "failures", "duration")
    )
    return jobs


LIMITS = [240, 1000, 8192, 65536, 10_000_000]


@pytest.fixture(scope="module")
def everything(many: Database) -> dict[int, list[str]]:
    """The long output without a bound, by verbosity."""
    outputs = {n: many.check("--max-output", str(LIMITS[-1]), "-t", "60", *["-v"] * n).stdout for n in (0, 2)}
    return {verbosity: parse(output).long_output for verbosity, output in outputs.items()}


@pytest.mark.parametrize("verbosity", [0, 2])
@pytest.mark.parametrize("limit", LIMITS)
def test_counts_are_right_and_what_is_left_out_is_told_exactly(
    many: Database, truth: psycopg.Connection, everything: dict[int, list[str]], limit: int, verbosity: int
) -> None:
    output = many.check("--max-output", str(limit), "-t", "60", *["-v"] * verbosity)
    assert (output.status, output.stderr) == (2, "")
    assert len(output.stdout.encode()) <= limit
    parsed = parse(output.stdout)
    expected = counts(truth)
    assert {state: parsed.values[state] for state in STATES} == expected
    assert parsed.text.startswith(
        f"JOBMON CRITICAL - {expected['critical']} critical, {expected['warning']} warning, {expected['ok']} ok: "
    )

    shown = labelled(parsed)
    order = [
        (state, label(name))
        for state, name in truth.execute(
            "SELECT state, name FROM expected WHERE active"
            " ORDER BY array_position(ARRAY['critical', 'warning', 'ok'], state), name COLLATE \"C\""
        )
    ]
    assert shown == {name for _, name in order[: len(shown)]}, "the worst are not those that are kept"

    left_out = re.fullmatch(
        rf"left out \(--max-output {limit}\): (\d+) of the lines, perfdata of (\d+) of the jobs", parsed.long_output[-1]
    )
    if limit == LIMITS[-1]:
        assert not left_out
        assert len(shown) == len(order)
        return
    assert left_out
    kept = parsed.long_output[:-1]
    # ages go on while the two checks run
    assert [_timeless(line) for line in kept] == [_timeless(line) for line in everything[verbosity][: len(kept)]]
    assert int(left_out[1]) == len(everything[verbosity]) - len(kept)
    assert int(left_out[2]) == len(order) - len(shown)


def _timeless(line: str) -> str:
    return re.sub(r"\d+s\b", "-s", line)


@pytest.mark.parametrize("limit", [8192, 10_000_000])
def test_figures_can_be_those_of_the_problems_only(many: Database, truth: psycopg.Connection, limit: int) -> None:
    parsed = parse(many.check("--perfdata", "problems", "--max-output", str(limit), "-t", "60").stdout)
    problems = {
        label(row[0]) for row in truth.execute("SELECT name FROM expected WHERE state IN ('warning', 'critical')")
    }
    shown = labelled(parsed)
    assert shown <= problems
    assert {state: parsed.values[state] for state in STATES} == counts(truth)
    left_out = len(problems) - len(shown)
    assert (left_out == 0) == (limit == 10_000_000)
    assert (f"perfdata of {left_out} of the jobs" in parsed.long_output[-1]) == (limit == 8192)


def test_figures_can_be_the_summary_or_none(many: Database, truth: psycopg.Connection) -> None:
    parsed = parse(many.check("--perfdata", "summary", "-t", "60").stdout)
    assert set(parsed.values) == {"critical", "warning", "ok", "query", "unknown", "silenced", "waiting"}
    assert {state: parsed.values[state] for state in STATES} == counts(truth)
    assert re.search(r"\d+ of the lines, perfdata of 0 of the jobs", parsed.long_output[-1])
    parsed = parse(many.check("--perfdata", "none", "-t", "60").stdout)
    assert parsed.figures == []
    assert parsed.long_output[0].startswith("CRITICAL ")


def test_the_first_line_names_some_of_the_worst_and_counts_the_rest(many: Database, truth: psycopg.Connection) -> None:
    text = parse(many.check("-t", "60").stdout).text
    problems = sum(number for state, number in counts(truth).items() if state != "ok")
    more = re.search(r", and (\d+) more$", text)
    assert more
    assert problems - int(more[1]) == len(re.findall(r" failed 1 time \(| missing, last run ", text)) > 1
