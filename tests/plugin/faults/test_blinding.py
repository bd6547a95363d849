"""One logger, or the owner of the tables, writes so much that nobody else's failure would be seen: everything answers."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from tests.database import Database, value

VICTIM = "INSERT INTO jobmon.job_check_config VALUES ('VICTIM', '1 day', '2 days', true, 0, '-infinity')"
LOG = "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
STEPS = "INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, status, message)"
LONG = """
    CREATE TABLE public.long AS
    SELECT repeat('act', 20000) AS action, repeat('act', 100) AS shorter, repeat('x', 65000) AS message
"""
"""What is copied from a table needn't be compressed for each row anew."""
ATTACKS = {
    "six messages of 200 MB": f"""
        {LOG} SELECT 'x', 'JOB ' || i, now(), now(), 'CRITICAL', 1 FROM generate_series(1, 6) AS i;
        INSERT INTO jobmon.job_check_config SELECT 'JOB ' || i, '1 day', '2 days', true, 0, '-infinity'
          FROM generate_series(1, 6) AS i;
        CREATE TABLE public.huge AS SELECT repeat('x', 200000000) AS message;
        {STEPS} SELECT job_id, 'a', now(), now(), 'CRITICAL', message FROM jobmon.job_log, public.huge
    """,
    "10,000 jobs of long names that fail with long messages": f"""
        {LONG};
        {LOG} SELECT 'x', upper(rpad('job ' || i || ' ', 490, md5(i::text))), now(), now(), 'CRITICAL', 1
                FROM generate_series(1, 10000) AS i, generate_series(1, 3);
        {STEPS} SELECT job_id, action, now(), now(), 'CRITICAL', message FROM jobmon.job_log, public.long
    """,
    "100,000 failures of one job": f"{LOG} SELECT 'x', 'JOB 1', now(), now(), 'CRITICAL', 1 FROM generate_series(1, 100000)",
    "100,000 open runs": "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)"
    " SELECT 'x', 'JOB ' || i % 1000, now(), pg_backend_pid() FROM generate_series(1, 100000) AS i",
    "100,000 steps": f"""
        {LONG};
        {LOG} VALUES ('x', 'JOB 1', now(), now(), 'CRITICAL', 1), ('x', 'JOB 1', now(), now(), 'CRITICAL', 1),
                     ('x', 'JOB 1', now(), now(), 'CRITICAL', 1);
        {STEPS} SELECT job_id, shorter, now(), now(), 'CRITICAL', message
                  FROM jobmon.job_log, public.long, generate_series(1, 33000)
    """,
}
PROGRAMS = (
    ["check_jobmon"],
    ["check_jobmon", "-vv"],
    ["check_jobmon", "-j", "victim"],
    ["check_jobmon.ctl", "status"],
    ["check_jobmon.ctl", "show"],
    ["check_jobmon.ctl", "failed"],
    ["check_jobmon.ctl", "running"],
    ["check_jobmon.ctl", "like", "job 1"],
    ["check_jobmon.ctl", "detail", "{job_id}"],
    ["check_jobmon.ctl", "history", "victim"],
    ["check_jobmon.ctl", "report", "-o", "-"],
)
MOST = 200 * 1024
"""KiB that a program may take."""


class Ended(NamedTuple):
    """How a program ended, and the most memory that it or a process of its had, in KiB."""

    status: int
    output: str
    errors: str
    peak: int


MEASURED = """
import resource, subprocess, sys
with open(sys.argv[1], "wb") as out, open(sys.argv[2], "wb") as err:
    status = subprocess.call([sys.executable, "-m", *sys.argv[3:]], stdout=out, stderr=err)
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a program and prints its exit status and peak. In a small process, because Linux counts what a process had before exec,
and a child of pytest's begins with all that pytest has."""


def run(folder: Path, *arguments: str) -> Ended:
    """`python -m arguments`, and what it took."""
    out, err = folder / "out", folder / "err"
    command = [sys.executable, "-c", MEASURED, str(out), str(err), *arguments]
    status, peak = map(int, subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split())
    return Ended(status, out.read_text(), err.read_text(), peak)


@pytest.fixture(params=ATTACKS)
def attacked(request: pytest.FixtureRequest, database: Database, session: psycopg.Connection) -> Database:
    """A job log with a job that is missing, and what somebody else has written."""
    session.execute(VICTIM)
    session.execute(ATTACKS[request.param].encode())
    session.execute("ANALYZE")
    return database


def test_every_program_answers_in_bounded_memory(
    attacked: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    job_id = value(session, "SELECT max(job_id) FROM jobmon.job_log")
    for module, *texts in PROGRAMS:
        arguments = [text.format(job_id=job_id) for text in texts]
        command = arguments[:1] if module == "check_jobmon.ctl" else []
        ended = run(tmp_path, module, *command, *attacked.options, *arguments[len(command) :])
        assert (ended.errors, ended.peak < MOST) == ("", True), (arguments, ended.peak)
        if module == "check_jobmon":
            assert ended.status == 2, ended.output[:300]
            assert "VICTIM missing" in ended.output or "VICTIM" in ended.output or "more" in ended.output
        else:
            assert ended.status == 0, arguments
    targets = tmp_path / "targets.yml"
    place = ", ".join(f"{name}: {text}" for name, text in attacked.parameters.items())
    targets.write_text(f"hosts: {{here: {{{place}}}}}\n")
    ended = run(tmp_path, "check_jobmon", "--targets", str(targets), "--per-job", "--output", "json")
    assert (ended.status, ended.errors, ended.peak < MOST) == (2, "", True), (ended.peak, ended.output[:300])
    ended = run(tmp_path, "check_jobmon", "--targets", str(targets), "--output", "openmetrics")
    assert (ended.status, ended.errors, ended.peak < MOST) == (0, "", True), (ended.peak, ended.output[:300])
    alerting = ('jobmon_job_state{job="VICTIM",target="here"} 2\n', 'jobmon_up{target="here"} 0\n')
    assert any(line in ended.output for line in alerting)
    code, text = session.execute(
        "SELECT alert_code, left(alert_text, 20000000) FROM jobmon.check_job_status()"
    ).fetchone() or (0, "")
    assert code == 3
    assert "VICTIM: MISSING" in text


def test_what_is_left_out_is_said(database: Database, session: psycopg.Connection) -> None:
    session.execute(f"{LOG} VALUES ('x', 'ETL', now(), now(), 'CRITICAL', 1)".encode())
    session.execute(
        f"{STEPS} SELECT 1, 'step', now(), now(), 'OK', repeat('x', 10000) FROM generate_series(1, 1200)".encode()
    )
    output = database.ctl("detail", "etl")
    assert "its last 1000 steps; those before are left out\n" in output.stdout
    assert "xxx [...]\n" in output.stdout
    assert '"steps_left_out": true' in database.ctl("detail", "etl", "--json").stdout
    output = database.check("-vv", "-j", "etl")
    assert "its last 20 steps; those before are left out, jobmonctl detail 1 shows them" in output.long_output
    assert value(session, "SELECT count(*) FROM jobmon.job_detail") == 1200
