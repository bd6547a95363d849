"""--output json: valid whatever is in it, never cut, the same keys every time."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.database import Database, run_module
from tests.plugin.output.hostile import TEXTS
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.test_checks import check
from tests.plugin.test_cli import HOURLY, run_job

RESULT = {"target", "job", "service", "state", "state_text", "output", "long_output", "perfdata", "began", "ended"}


def strictly(text: str) -> Any:
    """The JSON, which may have no NaN or Infinity, no key twice, and no second document."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    def never(constant: str) -> Any:
        raise AssertionError(constant)

    assert text.isascii()
    return json.loads(text, object_pairs_hook=unique, parse_constant=never)


def test_a_result_for_each_target_in_the_file_s_order(
    database: Database, empty_database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    session.execute(HOURLY, ["ETL", 0])
    run_job(session, "etl", "boom")
    file = targets({"none": empty_database.parameters, "one": database.parameters})
    output = check("--targets", file, "--output", "json")
    found = strictly(output.stdout)
    assert output.status == found["state"] == 2
    assert (found["state_text"], found["summary"]) == ("CRITICAL", "1 critical, 1 unknown, 0 ok")
    none, one = found["results"]
    assert set(none) == set(one) == RESULT | {"jobs"}
    assert (none["target"], none["service"], none["job"], none["state_text"]) == ("none", "JOBMON", None, "UNKNOWN")
    assert none["output"].startswith("JOBMON UNKNOWN - no jobmon schema in database")
    assert none["jobs"] == []
    assert one["output"] == "JOBMON CRITICAL - 1 critical, 0 ok: ETL failed 1 time (load facts: boom)"
    assert one["long_output"] == ["CRITICAL ETL: failed 1 time (load facts: boom)"]
    assert one["perfdata"][0].startswith("critical=1 warning=0 ok=0 query=")
    (job,) = one["jobs"]
    assert 0 <= job.pop("age") < 60
    assert 0 <= job.pop("duration") < 60
    assert job == {
        **{"name": "ETL", "state": 2, "state_text": "CRITICAL", "reason": "failed 1 time (load facts: boom)"},
        **{"active": True, "failures": 1, "sensitivity": 0, "warn": 3600, "error": 7200},
        **{"owner": None, "description": None, "runbook": None, "silence": None},
    }


def test_each_job_s_result_has_its_owner_description_and_runbook(
    database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    session.execute(HOURLY, ["ETL", 0])
    session.execute(
        "UPDATE jobmon.job_check_config SET (owner, description, runbook) = ('me', 'loads', 'https://wiki/etl')"
    )
    run_job(session, "etl", "boom")
    output = check("--targets", targets({"one": database.parameters}), "--output", "json", "--per-job")
    target, job = strictly(output.stdout)["results"]
    reason = "failed 1 time (load facts: boom), runbook: https://wiki/etl"
    assert (job["output"], target["output"].endswith(f": ETL {reason}")) == (f"JOBMON CRITICAL - ETL: {reason}", True)
    assert job["long_output"] == ["owner: me", "description: loads", "runbook: https://wiki/etl"]
    assert target["jobs"][0]["runbook"] == "https://wiki/etl"


def test_each_job_has_a_result_of_its_own_with_per_job(
    database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    session.execute(HOURLY, ["NEVER", 0])
    session.execute(
        "INSERT INTO jobmon.job_check_config VALUES ('RETIRED', '1 hour', '2 hours', false, 0, '-infinity')"
    )
    run_job(session, "unconfigured")
    file = targets({"one": database.parameters})
    output = check("--targets", file, "--output", "json", "--per-job", "--service-name", "jobs")
    own, *jobs = strictly(output.stdout)["results"]
    assert own["service"] == "jobs"
    assert {(job["job"], job["service"], job["state"]) for job in jobs} == {
        ("NEVER", "jobs NEVER", 2),
        ("RETIRED", "jobs RETIRED", 0),
        ("UNCONFIGURED", "jobs UNCONFIGURED", 0),
    }
    assert {job["output"] for job in jobs} == {
        "JOBMON CRITICAL - NEVER: missing, no run has ever completed",
        "JOBMON OK - RETIRED: not watched: active is false",
        "JOBMON OK - UNCONFIGURED: last run 0s ago",
    } or "JOBMON OK - UNCONFIGURED: last run" in str(jobs)
    assert all(set(job) == RESULT for job in jobs)


def test_per_job_of_an_empty_log_is_fine(database: Database, targets: Targets) -> None:
    output = check("--targets", targets({"one": database.parameters}), "--output", "json", "--per-job")
    assert [result["state"] for result in strictly(output.stdout)["results"]] == [0]


def test_hostile_names_are_told_as_they_are_under_services_of_their_own(
    database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    session.execute("SET jobmon.keep_link = on")
    names = {value.upper() for value in TEXTS if value.strip(" ") and "\0" not in value and len(value) <= 500}
    names = {name for name in names if name.encode("utf-8", "replace").decode() == name}
    session.cursor().executemany(
        "INSERT INTO jobmon.job_check_config VALUES (%s, '1 hour', '2 hours', true, 0, '-infinity')",
        [(name,) for name in names],
    )
    file = targets({"one": database.parameters})
    output = check("--targets", file, "--output", "json", "--per-job", "--max-output", "200")
    own, *jobs = strictly(output.stdout)["results"]
    assert {job["job"] for job in jobs} == {job["name"] for job in own["jobs"]} == names
    assert len({job["service"] for job in jobs}) == len(names)
    assert not any(set(job["service"]) & set("`~!$%^&*|'\"<>?,()=;\n") for job in jobs)
    assert len(output.stdout) > 10000


def test_what_is_endless_is_null(database: Database, session: psycopg.Connection, targets: Targets) -> None:
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 hour', '2 hours', true, 0, '-infinity')")
    run_job(session, "etl")
    session.execute("UPDATE jobmon.job_log SET start_time = '-infinity'")
    if session.info.server_version < 170000:
        pytest.skip("this server has no infinite intervals")
    output = check("--targets", targets({"one": database.parameters}), "--output", "json")
    assert strictly(output.stdout)["results"][0]["jobs"][0]["duration"] is None


def test_a_broken_file_is_told_in_json_too(targets: Targets) -> None:
    output = check("--targets", targets({}), "--output", "json")
    found = strictly(output.stdout)
    assert output.status == found.pop("state") == 3
    assert "has no targets" in found.pop("summary")
    assert found == {"state_text": "UNKNOWN", "results": []}


def test_one_database_has_one_result(database: Database, empty_database: Database, session: psycopg.Connection) -> None:
    session.execute(HOURLY, ["ETL", 0])
    run_job(session, "etl", "boom")
    for arguments in ([], ["--per-job"], ["-j", "etl", "-t", "20"]):
        output = database.check("--output", "json", *arguments)
        found = strictly(output.stdout)
        assert (output.status, output.stderr, found["state"], found["summary"]) == (2, "", 2, "1 critical, 0 ok")
        assert [result["target"] for result in found["results"]][:1] == [str(database.server.folder)]
        assert [result["job"] for result in found["results"]] == ([None, "ETL"] if "--per-job" in arguments else [None])
        assert (
            found["results"][0]["output"] == "JOBMON CRITICAL - 1 critical, 0 ok: ETL failed 1 time (load facts: boom)"
        )
    (result,) = strictly(empty_database.check("--output", "json").stdout)["results"]
    assert (result["state"], "no jobmon schema in database" in result["output"]) == (3, True)
    (result,) = strictly(database.check("-H", "127.0.0.1", "-p", "1", "--output", "json").stdout)["results"]
    assert (result["target"], result["state"]) == ("127.0.0.1", 2)
    assert database.check("--output", "text").stdout.startswith("JOBMON CRITICAL - 1 critical, 0 ok: ETL failed")


@pytest.mark.parametrize("option", ["--targets", "--config"])
def test_a_folder_in_the_place_of_a_file_is_told(database: Database, tmp_path: Path, option: str) -> None:
    arguments = [option, str(tmp_path), *(["-H", "db"] if option == "--config" else [])]
    assert check(*arguments).stdout == (
        f"JOBMON UNKNOWN - {tmp_path} can't be read: Is a directory, give the configuration file itself\n"
    )
    for command in ("check", "apply"):
        output = run_module("check_jobmon.ctl", "config", command, str(tmp_path))
        said = f"jobmonctl config {command}: {tmp_path} can't be read: Is a directory, give the configuration file itself\n"
        assert (output.status > 0, output.stderr) == (True, said)
