"""-j and -x: which jobs a check is about, and that a name which matches none is never a silent OK."""

import os
import re

import psycopg
import pytest

import check_jobmon
from check_jobmon.judging.selection import Selection, nearest
from check_jobmon.text import label
from tests.database import Database, Output
from tests.plugin.output.guidelines import parse

NAMES = ["NIGHTLY ETL", "NIGHTLY LOAD", "CUBE"]


@pytest.fixture
def jobs(session: psycopg.Connection) -> psycopg.Connection:
    """Two configured jobs, the second of which has failed, and one that is not configured."""
    log_runs(session, *NAMES)
    watch(session, "NIGHTLY ETL", "NIGHTLY LOAD")
    session.execute("UPDATE jobmon.job_log SET status = 'CRITICAL' WHERE job_name = 'NIGHTLY LOAD'")
    return session


def log_runs(session: psycopg.Connection, *names: str) -> None:
    """A successful run of each job, an hour ago."""
    for name in names:
        session.execute(
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
            " VALUES ('me', %s, now() - interval '61 min', now() - interval '1 hour', 'OK', 0)",
            [name],
        )


def watch(session: psycopg.Connection, *names: str, active: bool = True) -> None:
    """Configure jobs, that may go a day without a run."""
    for name in names:
        session.execute(
            "INSERT INTO jobmon.job_check_config VALUES (%s, '1 day', '2 days', %s, 0, '-infinity')", [name, active]
        )


def judged(output: Output) -> list[str]:
    """The jobs that the output has figures of."""
    return [label.removesuffix(" age") for label in parse(output.stdout).values if label.endswith(" age")]


@pytest.mark.parametrize(
    ("arguments", "names", "status"),
    [
        ([], ["NIGHTLY ETL", "NIGHTLY LOAD"], 2),
        (["-j", "NIGHTLY ETL"], ["NIGHTLY ETL"], 0),
        (["-j", "nightly load"], ["NIGHTLY LOAD"], 2),
        (["-j", "Nightly Etl", "-j", "cube"], ["CUBE", "NIGHTLY ETL"], 0),
        (["--job", "NIGHTLY*"], ["NIGHTLY ETL", "NIGHTLY LOAD"], 2),
        (["-j", "night* [lm]oad"], ["NIGHTLY LOAD"], 2),
        (["-j", "*"], ["CUBE", "NIGHTLY ETL", "NIGHTLY LOAD"], 2),
        (["-j", "C?BE", "-j", "NIGHTLY ETL"], ["CUBE", "NIGHTLY ETL"], 0),
        (["-j", "*", "-x", "nightly load"], ["CUBE", "NIGHTLY ETL"], 0),
        (["-x", "*load"], ["NIGHTLY ETL"], 0),
        (["-x", "NIGHTLY LOAD", "--exclude", "NIGHTLY ETL"], [], 0),
        (["-x", "NO SUCH JOB"], ["NIGHTLY ETL", "NIGHTLY LOAD"], 2),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_jobs_are_selected_by_name_and_pattern_in_any_case(
    database: Database, jobs: psycopg.Connection, arguments: list[str], names: list[str], status: int
) -> None:
    output = database.check(*arguments)
    assert (judged(output), output.status, output.stderr) == (names, status, "")


def test_a_job_without_configuration_or_failures_is_found_and_fine(
    database: Database, jobs: psycopg.Connection
) -> None:
    output = database.check("-j", "cube")
    assert output.first_line == "JOBMON OK - 1 ok: all jobs run successfully"
    assert re.search(r"'CUBE age'=36\d\d(\.\d+)?s;;;0 'CUBE failures'=0;2;;0 'CUBE duration'=60s;;;0$", output.perfdata)
    assert output.status == 0


@pytest.mark.parametrize("others", [[], ["-j", "CUBE"], ["-j", "NIGHTLY *"]], ids=" ".join)
def test_an_unknown_name_is_unknown_with_the_nearest(
    database: Database, jobs: psycopg.Connection, others: list[str]
) -> None:
    output = database.check(*others, "-j", "nightly lod")
    assert output.stdout == (
        'JOBMON UNKNOWN - no job "NIGHTLY LOD" was ever logged or configured: '
        'did you mean "NIGHTLY LOAD" or "NIGHTLY ETL"?\n'
    )
    assert (output.status, output.stderr) == (3, "")


def test_a_pattern_without_a_match_is_unknown(database: Database, jobs: psycopg.Connection) -> None:
    output = database.check("-j", "xyz*")
    assert output.stdout == (
        'JOBMON UNKNOWN - no job "XYZ*" was ever logged or configured: '
        "none of the names known here (3) is like it, jobmonctl status lists them\n"
    )
    assert output.status == 3


def test_an_unknown_name_in_an_empty_log_is_unknown(database: Database) -> None:
    output = database.check("-j", "ETL")
    assert output.stdout == (
        'JOBMON UNKNOWN - no job "ETL" was ever logged or configured: nothing was, is this the right database?\n'
    )
    assert output.status == 3


def test_excluding_all_that_is_named_is_unknown(database: Database, jobs: psycopg.Connection) -> None:
    output = database.check("-j", "CUBE", "-x", "C*")
    assert output.stdout == "JOBMON UNKNOWN - --exclude leaves nothing of what --job names\n"
    assert output.status == 3


def test_an_inactive_job_is_known_but_not_judged(database: Database, jobs: psycopg.Connection) -> None:
    watch(jobs, "CUBE", active=False)
    output = database.check("-j", "cube")
    assert output.first_line == "JOBMON OK - nothing is watched: active is false in job_check_config for CUBE"
    assert (judged(output), output.status) == ([], 0)
    output = database.check("-j", "cube", "-j", "nightly load")
    assert (judged(output), output.status) == (["NIGHTLY LOAD"], 2)


@pytest.mark.parametrize("spelled", ["Nightly Sync", "NIGHTLY SYNC", "nightly sync", "nightly s*"])
def test_a_configured_name_that_is_not_upper_case_is_found_and_explained(
    database: Database, jobs: psycopg.Connection, spelled: str
) -> None:
    watch(jobs, "Nightly Sync")
    output = database.check("-j", spelled)
    assert output.first_line == (
        "JOBMON CRITICAL - 1 critical, 0 ok: Nightly Sync missing, no run has ever completed: "
        "its name in job_check_config is not upper case, so no run can match it"
    )
    assert output.status == 2


STRANGE = [
    "O'BRIEN",
    "''",
    '"QUOTED"',
    "BACK\\SLASH\\",
    "E'\\'' OR TRUE --",
    "100% %S %(NAME)S {0}",
    "X'); DROP TABLE JOBMON.JOB_LOG;--",
    "$$ || 1/0 || $$",
    "A;B",
    "@ALSO@ @SCHEMA@ @SELECTED@ @LAYOUT@",
    "JOB [A-Z]?",
    "STAR *",
    "CAFÉ",
    "STRAßE",
    "夜間",
    ":A ?",
    "-V",
]


@pytest.mark.parametrize("configured", [True, False], ids=["configured", "logged"])
def test_any_name_is_selected_as_it_is_written(
    database: Database, session: psycopg.Connection, configured: bool
) -> None:
    """And in lower case: configured names of even number, and logged ones of odd number.

    Each configured one can be left out; those that are only logged hide nothing that is judged, all at once.
    """
    log_runs(session, *STRANGE, "OTHER")
    watch(session, "OTHER", *(STRANGE if configured else []))
    everything = judged(database.check())
    assert len(everything) == (len(STRANGE) + 1 if configured else 1)
    for number, name in enumerate(STRANGE):
        # letters that the database's locale doesn't capitalize have a test of their own: test_letter_case.py
        spelled = name.lower() if number % 2 != configured and name.isascii() else name
        output = database.check(f"--job={spelled}", "-vvv")
        parsed = parse(output.stdout)
        assert output.status == 0, output.stdout
        assert parsed.text == "JOBMON OK - 1 ok: all jobs run successfully"
        assert len([line for line in parsed.long_output if line.startswith("OK ")]) == 1
        assert judged(output) == [label(name)]
        if configured:
            others = [other for other in everything if other != label(name)]
            assert judged(database.check(f"--exclude={name}")) == others
    if not configured:
        assert judged(database.check(*(f"--exclude={name}" for name in STRANGE))) == everything


def test_exact_names_spare_the_server_the_other_jobs(database: Database, jobs: psycopg.Connection) -> None:
    def rows(*arguments: str) -> int:
        found = re.search(
            r'^query: job_status.sql on schema "jobmon", (\d+) rows, ', database.check(*arguments).stdout, re.M
        )
        assert found
        return int(found[1])

    assert rows("-vvv") == 3
    assert rows("-vvv", "-j", "nightly etl") == 1
    assert rows("-vvv", "-j", "cube") == 1
    assert rows("-vvv", "-j", "cube", "-j", "nightly etl") == 2
    assert rows("-vvv", "-j", "*") == 3


@pytest.mark.parametrize("argument", [b"\xff\xfe", b"caf\xe9"])
@pytest.mark.parametrize("option", ["-j", "-x"])
def test_bytes_that_are_not_utf_8_name_the_job_that_is_logged_for_them(
    database: Database, session: psycopg.Connection, option: str, argument: bytes
) -> None:
    with check_jobmon.job(os.fsdecode(argument), **database.parameters):
        pass
    name = argument.decode("utf-8", "backslashreplace").upper()
    output = database.check("-v", option, os.fsdecode(argument))
    assert (name in output.stdout, output.status, output.stderr) == (option == "-j", 0, "")


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_a_usage_error(database: Database, name: str) -> None:
    output = database.check("-j", name)
    assert output.first_line.startswith("JOBMON UNKNOWN - argument -j/--job: it is empty")
    assert output.status == 3


def test_names_are_near_in_any_case_and_of_any_length() -> None:
    assert nearest("etl", ["etl1", "CUBE"]) == ["etl1"]
    assert nearest("x" * 10000, [f"{n}" * 10000 for n in range(10)]) == []
    assert len(nearest("ETL 1", [f"ETL {n}" for n in range(1000)])) == 3


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("nightly", ["NIGHTLY ETL", "NIGHTLY LOAD"]),
        ("cub", ["CUBE"]),
        ("Cubes", ["CUBE"]),
        ("cabin", []),  # three edits of five letters, which is more than a third
        ("nigthly etl", ["NIGHTLY ETL"]),
        ("nightly etl 2", ["NIGHTLY ETL", "NIGHTLY LOAD"]),
        ("etl", []),
        ("nie", []),
        ("*", []),
    ],
)
def test_only_near_names_are_suggested(asked: str, near: list[str]) -> None:
    assert nearest(asked, ["CUBE", "NIGHTLY ETL", "NIGHTLY LOAD"]) == near


def test_a_name_that_is_like_no_other_is_answered_without_a_suggestion(
    database: Database, session: psycopg.Connection
) -> None:
    """Whoever types NIGHTLY where there is only a CUBE learns how to see what there is."""
    log_runs(session, "CUBE")
    said = 'no job "NIGHTLY" was ever logged or configured: '
    hint = "none of the names known here (1) is like it, jobmonctl status lists them"
    output = database.check("-j", "nightly")
    assert output.stdout == f"JOBMON UNKNOWN - {said}{hint}\n"
    for command in ("show", "failed", "detail", "history", "ack", "like"):
        output = database.ctl(command, "nightly")
        assert (output.status, output.stdout) == (1, "")
        assert output.stderr == f"jobmonctl {command}: {said}{hint}\n"


def test_wildcards_are_known_from_names() -> None:
    assert Selection(("ETL", "CUBE")).exact
    assert not Selection(("ETL", "CU?E")).exact
    assert not Selection().exact


def test_names_are_looked_up_by_index(database: Database, session: psycopg.Connection) -> None:
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " SELECT 'me', 'JOB ' || i % 500, now(), now(), 'OK', 0 FROM generate_series(1, 20000) AS i"
    )
    session.execute("ANALYZE jobmon.job_log")
    for selection in (Selection(("JOB 7",)), Selection(("JOB*",))):
        plan = session.execute(f"EXPLAIN {selection.extra_names('jobmon')}".encode()).fetchall()
        assert "Seq Scan on job_log" not in "\n".join(row[0] for row in plan)
