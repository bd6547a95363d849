"""contrib/grafana/dashboard.json: each of its queries, as Grafana sends it, for a role that has jobmon_read and nothing else."""

import datetime
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.database import Database, value
from tests.plugin.output.hostile import TEXTS
from tests.plugin.test_cli import HOURLY, run_job

FILE = Path(__file__).parents[2] / "contrib" / "grafana" / "dashboard.json"
DASHBOARD = json.loads(FILE.read_text(encoding="utf-8"))
PANELS: dict[str, dict[str, Any]] = {panel["title"]: panel for panel in DASHBOARD["panels"]}
NAMES = next(variable["query"] for variable in DASHBOARD["templating"]["list"] if variable["name"] == "job")
KINDS = {"stat", "table", "state-timeline", "timeseries"}
COLUMNS = {
    "Jobs by state": ["critical", "warning", "unknown", "ok", "silenced", "running"],
    "Jobs": ["state", "job", "last run", "took", "failures", "due", "reason", "owner", "runbook"],
    "Timeline": ["time", "metric", "code"],
    "Durations": ["time", "metric", "seconds"],
    "Runs": ["run", "job", "start", "end", "status", "took", "role", "failed step", "message"],
}


def expanded(query: str, jobs: list[str]) -> str:
    """The query with its macros and variables replaced, as Grafana's documentation of the data source and of variables has it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    start, end = (f"'{(now + datetime.timedelta(hours=h)).strftime('%Y-%m-%dT%H:%M:%S.%fZ')}'" for h in (-24, 1))
    quoted = ",".join("'" + job.replace("'", "''") + "'" for job in jobs)
    query = query.replace("$__interval", "1m").replace("${job:sqlstring}", quoted)
    query = re.sub(r"\$__timeFilter\(([\w.]+)\)", rf"\1 BETWEEN {start} AND {end}", query)
    return re.sub(r"\$__timeGroupAlias\(([\w.]+), *1m\)", r'floor(extract(epoch from \1)/60)*60 AS "time"', query)


@pytest.fixture
def reader(database: Database, session: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A session of a role that is for dashboards, as Grafana has it."""
    session.execute("CREATE ROLE grafana LOGIN")
    try:
        session.execute("GRANT jobmon_read TO grafana")
        with database.connect(user="grafana", options="-c statement_timeout=30s") as reader:
            yield reader
    finally:
        session.execute("DROP OWNED BY grafana; DROP ROLE grafana")


def rows(reader: psycopg.Connection, title: str, jobs: list[str] | None = None) -> list[dict[str, Any]]:
    """What a panel's query gives, for all jobs unless told otherwise."""
    if jobs is None:
        jobs = [name for (name,) in reader.execute(NAMES.encode())]
    (target,) = PANELS[title]["targets"]
    cursor = reader.execute(expanded(target["rawSql"], jobs).encode())
    assert cursor.description
    names = [column.name for column in cursor.description]
    assert names == COLUMNS[title]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def test_the_panels_are_there_once_and_do_not_overlap() -> None:
    assert PANELS.keys() == COLUMNS.keys()
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"]) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["type"] in KINDS
        assert panel["datasource"] == panel["targets"][0]["datasource"] == {"type": "postgres", "uid": "${datasource}"}
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not taken & cells
        taken |= cells
        kinds = {"state-timeline": "time_series", "timeseries": "time_series"}
        assert panel["targets"][0]["format"] == kinds.get(panel["type"], "table")
        for each in panel["fieldConfig"]["overrides"]:
            assert each["matcher"]["options"] in COLUMNS[panel["title"]]


@pytest.mark.parametrize("title", PANELS)
def test_no_macro_is_left_that_the_test_does_not_know(title: str) -> None:
    assert "$" not in expanded(PANELS[title]["targets"][0]["rawSql"], ["ETL"]).replace("'^https?://'", "")


def test_the_panels_say_what_the_plugin_says(
    database: Database, session: psycopg.Connection, reader: psycopg.Connection
) -> None:
    for name in ("GOOD", "FAILED", "NEVER", "SILENT", "OFF", "UNDUE"):
        session.execute(HOURLY, [name, 0])
    session.execute("UPDATE jobmon.job_check_config SET active = false WHERE job_name = 'OFF'")
    session.execute("SELECT jobmon.silence('silent', now() + interval '1 hour', 'a move')")
    for name in ("good", "off", "undue"):
        run_job(session, name)
    fields = "schedule = '0 * * * *', runbook = 'https://wiki/x', owner = 'dba'"
    session.execute(f"UPDATE jobmon.job_check_config SET {fields} WHERE job_name = 'UNDUE'".encode())
    session.execute("UPDATE jobmon.job_log SET next_due = NULL WHERE job_name = 'UNDUE'")
    run_job(session, "failed", "boom")
    run_job(session, "silent", "boom")
    run_job(session, "healthy, not configured")
    value(session, "SELECT jobmon.add_job('open')")
    with database.connect() as other:
        value(other, "SELECT jobmon.add_job('crashed')")
    jobs = {row["job"]: row for row in rows(reader, "Jobs")}
    output = json.loads(database.check("--output", "json").stdout)["results"][0]
    told = {job["name"]: job["state_text"] if job["active"] else "not watched" for job in output["jobs"]}
    assert {name: row["state"] for name, row in jobs.items()} == told
    assert set(told.values()) == {"OK", "WARNING", "CRITICAL", "UNKNOWN", "not watched"}
    assert list(jobs)[:2] == ["FAILED", "NEVER"]
    assert jobs["FAILED"]["reason"] == "failed: load facts: boom"
    assert jobs["NEVER"]["reason"] == "missing"
    assert jobs["SILENT"]["reason"].startswith("failed: load facts: boom; silenced until ")
    assert (jobs["UNDUE"]["owner"], jobs["UNDUE"]["runbook"]) == ("dba", "https://wiki/x")
    assert rows(reader, "Jobs by state") == [
        {"critical": 2, "warning": 1, "unknown": 1, "ok": 3, "silenced": 1, "running": 1}
    ]
    runs = {row["job"]: row for row in rows(reader, "Runs")}
    assert set(runs) == {"GOOD", "OFF", "UNDUE", "FAILED", "SILENT", "HEALTHY, NOT CONFIGURED", "OPEN", "CRASHED"}
    failed = runs["FAILED"]
    assert (failed["status"], failed["failed step"], failed["message"]) == ("CRITICAL", "load facts", "boom")
    assert (runs["OPEN"]["status"], runs["OPEN"]["end"]) == ("open", None)
    assert 0 <= runs["GOOD"]["took"] < 60
    timeline = rows(reader, "Timeline")
    assert [row["time"] for row in timeline] == sorted(row["time"] for row in timeline)
    assert [row["code"] for row in timeline if row["metric"] == "FAILED"] == [0, 3]
    assert [row["code"] for row in timeline if row["metric"] == "GOOD"] == [0, 1]
    assert [row["code"] for row in timeline if row["metric"] == "OPEN"] == [0]
    assert {row["metric"] for row in rows(reader, "Durations")} == set(runs) - {"OPEN", "CRASHED"}
    assert {row["job"] for row in rows(reader, "Runs", ["GOOD", "OPEN"])} == {"GOOD", "OPEN"}
    assert {row["metric"] for row in rows(reader, "Timeline", ["GOOD"])} == {"GOOD"}


def test_no_name_and_no_time_breaks_a_query(
    database: Database, session: psycopg.Connection, reader: psycopg.Connection
) -> None:
    names = sorted({text for text in TEXTS if "\0" not in text and text.encode("utf-8", "replace").decode() == text})
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " SELECT 'o', n, now() - interval '1 minute', now(), 'OK', 1 FROM unnest(%s::text[]) AS n",
        [names],
    )
    for start in ("-infinity", "infinity", "4713-01-01 BC", "294276-12-31"):
        for end in ("now()", "NULL", "'infinity'", "'294276-12-31'"):
            session.execute(
                "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
                f" VALUES ('o', 'ODD', '{start}', {end}, 'whatever', 1)".encode()
            )
    offered = [name for (name,) in reader.execute(NAMES.encode())]
    assert set(offered) == {*names, "ODD"}
    for title in PANELS:
        rows(reader, title)
    assert {row["job"] for row in rows(reader, "Runs")} == {*names, "ODD"}
    assert {row["metric"] for row in rows(reader, "Timeline")} == {*names, "ODD"}


def test_an_empty_log_breaks_no_query(database: Database, reader: psycopg.Connection) -> None:
    for title in PANELS:
        assert len(rows(reader, title, [""])) == (1 if title == "Jobs by state" else 0)


def test_the_readme_names_the_role_and_what_was_not_tested() -> None:
    readme = (FILE.parent / "README.rst").read_text(encoding="utf-8")
    assert "GRANT jobmon_read TO grafana;" in readme
    assert "What was not: Grafana itself." in readme
