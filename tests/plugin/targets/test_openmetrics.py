"""--output openmetrics: what both formats allow, each series once whatever the names are, a file that is whole."""

import os
import re
import resource
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from check_jobmon.text import clean
from tests.database import Database, Output, run_module, value
from tests.plugin.output.hostile import TEXTS
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.test_checks import check
from tests.plugin.test_cli import HOURLY, run_job

OF_TARGETS = {"jobmon_up", "jobmon_query_seconds"}
OF_JOBS = {
    "jobmon_job_state",
    "jobmon_job_last_success_timestamp_seconds",
    "jobmon_job_last_duration_seconds",
    "jobmon_job_consecutive_failures",
    "jobmon_job_late_seconds",
    "jobmon_job_open_runs",
    "jobmon_job_silenced",
}
SAMPLE = re.compile(r'(\w+)\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)+)\} (-?[0-9.e+]+)')
Labels = frozenset[tuple[str, str]]


def parsed(text: str) -> dict[str, dict[Labels, float]]:
    """The samples of each metric by their labels: as the ABNF of OpenMetrics 1.0 has it, and more strictly."""
    assert text.endswith("\n# EOF\n")
    found: dict[str, dict[Labels, float]] = {}
    known: dict[str, set[str]] = {}
    current = ""
    for line in text.removesuffix("# EOF\n").split("\n")[:-1]:
        if line.startswith("# "):
            _, kind, name, words = line.split(" ", 3)
            if kind == "HELP":
                assert name not in found, "a metric comes in one piece"
                found[name], known[name], current = {}, set(), name
            assert name == current
            known[name].add(kind)
            if kind == "TYPE":
                assert words == "gauge"
            if kind == "UNIT":
                assert name.endswith(f"_{words}")
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            name, labels, number = sample.groups()
            assert name == current
            pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)
            key = frozenset((label, re.sub(r"\\(.)", r"\1", text)) for label, text in pairs)
            assert key not in found[name], "each series once"
            found[name][key] = float(number)
    for name, kinds in known.items():
        assert kinds == {"HELP", "TYPE", *(["UNIT"] if name.endswith("_seconds") else [])}
    return found


def of_job(text: str, job: str) -> dict[str, float]:
    """The values of a job in the one target, by the end of the metric's name."""
    return {
        name.removeprefix("jobmon_job_"): number
        for name, samples in parsed(text).items()
        for labels, number in samples.items()
        if dict(labels).get("job") == job
    }


def metrics(database: Database, *arguments: str) -> str:
    """What the plugin prints, without a problem."""
    output = database.check("--output", "openmetrics", *arguments)
    assert (output.status, output.stderr) == (0, "")
    return output.stdout


def test_every_state_of_a_job(database: Database, session: psycopg.Connection) -> None:
    for name in ("GOOD", "FAILED", "NEVER", "SILENT", "LATE"):
        session.execute(HOURLY, [name, 0])
    session.execute("UPDATE jobmon.job_check_config SET since = now() WHERE job_name = 'NEVER'")
    session.execute("SELECT jobmon.silence('silent', now() + interval '1 hour', 'a move')")
    for name in ("good", "failed", "unwatched"):
        run_job(session, name)
    run_job(session, "failed", "boom")
    run_job(session, "failed", "boom")
    run_job(session, "silent", "boom")
    run_job(session, "late")
    session.execute(
        "UPDATE jobmon.job_check_config SET schedule = '0 * * * *', timezone = 'UTC', warn_threshold = '1 minute'"
        " WHERE job_name = 'LATE'"
    )
    session.execute("UPDATE jobmon.job_log SET next_due = now() - interval '90 minutes' WHERE job_name = 'LATE'")
    value(session, "SELECT jobmon.add_job('open')")  # under way
    with database.connect() as other:
        value(other, "SELECT jobmon.add_job('open')")  # crashed
    text = metrics(database)
    assert set(parsed(text)) == OF_JOBS | OF_TARGETS
    success: dict[str, float] = dict(
        session.execute(
            "SELECT job_name, extract(epoch FROM max(end_time))::float FROM jobmon.job_log WHERE status = 'OK' GROUP BY 1"
        ).fetchall()
    )
    usual = {"state": 0, "consecutive_failures": 0, "open_runs": 0, "silenced": 0}
    ran = "last_success_timestamp_seconds", "last_duration_seconds"
    good = of_job(text, "GOOD")
    assert 0 <= good[ran[1]] < 60
    assert good == {**usual, ran[0]: round(success["GOOD"], 3), ran[1]: good[ran[1]]}
    failed = of_job(text, "FAILED")
    assert failed == {
        **{**usual, "state": 2, "consecutive_failures": 2},
        **{ran[0]: round(success["FAILED"], 3), ran[1]: failed[ran[1]]},
    }
    assert of_job(text, "NEVER") == usual
    silent = of_job(text, "SILENT")
    assert silent == {**usual, "consecutive_failures": 1, "silenced": 1, ran[1]: silent[ran[1]]}
    late = of_job(text, "LATE")
    assert late["state"] == 1
    assert 5400 <= late["late_seconds"] < 5500
    assert set(of_job(text, "UNWATCHED")) == {*usual, *ran}
    assert of_job(text, "OPEN") == {**usual, "state": 1, "open_runs": 2}


@pytest.mark.parametrize("strategy", ["index", "scan"])
def test_the_last_success_is_the_one_that_ended_last(
    database: Database, session: psycopg.Connection, strategy: str
) -> None:
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid) VALUES"
        " ('o', 'A', '2025-01-02', '2025-01-02 00:01', 'OK', 1), ('o', 'A', '2025-01-01', '2025-01-01 00:01', 'OK', 1),"
        " ('o', 'A', '2025-01-03', '2025-01-03 00:01', 'CRITICAL', 1), ('o', 'A', '2025-01-04', '294276-01-01', 'OK', 1),"
        " ('o', 'A', '2025-01-04', 'infinity', 'OK', 1), ('o', 'B', '-infinity', '2025-01-01', 'CRITICAL', 1),"
        " ('o', 'C', '-infinity', '2025-01-01', 'OK', 1), ('o', 'D', '4713-01-01 BC', '1500-01-01', 'OK', 1)"
    )
    if strategy == "scan":  # and columns as in pg_jobmon 1.0
        session.execute("DROP INDEX jobmon.job_log_done_idx")
        for name in ("code", "text"):
            session.execute(f"ALTER TABLE jobmon.job_status_text DROP error_{name}".encode())
            session.execute(f"ALTER TABLE jobmon.job_status_text RENAME alert_{name} TO error_{name}".encode())
    text = metrics(database)
    assert of_job(text, "A")["last_success_timestamp_seconds"] == 1735776060
    assert of_job(text, "A")["last_duration_seconds"] == 60
    assert "last_success_timestamp_seconds" not in of_job(text, "B")
    assert "last_duration_seconds" not in of_job(text, "B")
    assert of_job(text, "C")["last_success_timestamp_seconds"] == 1735689600
    assert of_job(text, "D")["last_success_timestamp_seconds"] == 0  # what is older than Unix


def test_a_target_that_is_down_has_no_jobs_and_hides_no_other(
    database: Database, session: psycopg.Connection, empty_database: Database, targets: Targets
) -> None:
    run_job(session, "etl", "boom")
    down = {**database.parameters, "port": 1}
    file = targets({"up": database.parameters, "down": down, "without": empty_database.parameters})
    output = check("--targets", file, "--output", "openmetrics", "--connection-error", "ok")
    assert (output.status, output.stderr) == (0, "")
    found = parsed(output.stdout)
    assert found["jobmon_up"] == {
        frozenset([("target", name)]): int(name == "up") for name in ("up", "down", "without")
    }
    assert set(found["jobmon_query_seconds"]) == {frozenset([("target", "up")])}
    assert set(found["jobmon_job_state"]) == {frozenset([("job", "ETL"), ("target", "up")])}


def test_names_of_jobs_and_targets_never_give_a_series_twice(
    database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    names = {text for text in TEXTS if "\0" not in text and text.encode("utf-8", "replace").decode() == text}
    session.cursor().executemany(HOURLY, [(name, 0) for name in names])
    hosts = dict.fromkeys(("etl", "e\u200btl", "e\u202etl", 'a "b" \\', "two\nlines", "two lines"), database.parameters)
    output = check("--targets", targets(hosts), "--output", "openmetrics", "-j", "*", "--max-output", "200")
    assert (output.status, output.stderr) == (0, "")
    states = [dict(labels) for labels in parsed(output.stdout)["jobmon_job_state"]]
    assert len(states) == len(names) * len(hosts)
    shown = {state["job"] for state in states}
    assert {
        "O'BRIEN",
        "A=B",
        "\\n\\t\\r",
        '"DOUBLE"',
        "C:\\JOBS\\LOAD.BAT",
        "A::B::C",
        "TWO  BLANKS",
        "夜間バッチ",
    } <= shown
    assert all(clean(name) == name and len(name) < 220 for name in shown | {state["target"] for state in states})
    assert {'a "b" \\', "etl", "two lines"} < {state["target"] for state in states}


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (["-H", "db", "-d", "etl"], "db/etl"),
        (["-H", "db"], "db"),
        (["--service", "no such"], "no such"),
        ([], "default"),
    ],
)
def test_two_databases_of_one_host_are_two_targets(arguments: list[str], target: str) -> None:
    output = run_module("check_jobmon", "--output", "openmetrics", *arguments, "-p", "1", PGCONNECT_TIMEOUT="1")
    assert output.status == 0
    assert parsed(output.stdout)["jobmon_up"] == {frozenset([("target", target)]): 0}


def test_a_file_is_replaced_as_a_whole_and_others_may_read_it(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "jobmon.prom"
    assert database.check("--output", "openmetrics", "-o", str(file)) == Output(0, "", "")
    assert set(parsed(file.read_text())) == OF_JOBS | OF_TARGETS
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~_umask()
    before = file.stat().st_ino
    assert database.check("--output", "openmetrics", "--output-file", str(file)) == Output(0, "", "")
    assert file.stat().st_ino != before
    assert os.listdir(tmp_path) == [file.name]


def test_what_stands_in_the_way_of_the_file_is_one_sentence_and_leaves_the_old_one(
    database: Database, tmp_path: Path
) -> None:
    hint = "see that its folder is there, that this user may write to it, and that the disk has room\n"
    for place, reason in {
        tmp_path / "missing" / "jobmon.prom": "No such file or directory",
        tmp_path: "Is a directory",
        Path("/dev/full"): "No space left on device",
    }.items():
        output = database.check("--output", "openmetrics", "-o", str(place))
        assert output == Output(3, f"JOBMON UNKNOWN - {place} can't be written: {reason}: {hint}", "")
    file = tmp_path / "jobmon.prom"
    file.write_text("old")
    done = subprocess.run(
        [sys.executable, "-m", "check_jobmon", *database.options, "--output", "openmetrics", "-o", str(file)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        env={**_environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == f"JOBMON UNKNOWN - {file} can't be written: File too large: {hint}"
    assert (file.read_text(), os.listdir(tmp_path)) == ("old", [file.name])


def test_without_targets_to_speak_of_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "jobmon.prom"
    missing = str(tmp_path / "missing.yml")
    for more in ([], ["--connection-error", "ok"]):
        output = check("--targets", missing, "--output", "openmetrics", "-o", str(file), *more)
        assert (output.status, output.stdout.count("\n"), file.exists()) == (3, 1, False)
        assert output.first_line.startswith(f"JOBMON UNKNOWN - {missing} can't be read")


def test_verbose_says_beside_a_file_why_a_target_is_down(database: Database, tmp_path: Path, targets: Targets) -> None:
    file = targets({"down": {**database.parameters, "dbname": "missing"}})
    output = check("--targets", file, "--output", "openmetrics", "-o", str(tmp_path / "jobmon.prom"), "-v")
    assert output.status == 0
    assert output.first_line.startswith("JOBMON CRITICAL - 1 critical, 0 ok: down: connection to server")


def test_the_role_of_the_plugin_is_enough(database: Database, session: psycopg.Connection) -> None:
    run_job(session, "etl")
    run_job(session, "etl", "boom")
    session.execute("CREATE ROLE metrics_reader LOGIN")
    try:
        session.execute("GRANT jobmon_monitor TO metrics_reader")
        found = of_job(metrics(database, "-U", "metrics_reader"), "ETL")
    finally:
        session.execute("DROP ROLE metrics_reader")
    assert found["last_success_timestamp_seconds"] > 0
    assert found["state"] == 0


def _environment() -> Mapping[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("PG")}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
