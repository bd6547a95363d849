"""One logger, or the owner of the tables, writes so much that nobody else's failure would be seen: everything answers."""

from pathlib import Path

import psycopg
import pytest

from tests.database import Database, value
from tests.plugin.faults.plugin import measured

VICTIM = "INSERT INTO jobmon.job_check_config VALUES ('VICTIM', '1 day', '2 days', true, 0, '-infinity')"
LOG = "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
STEPS = "INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, status, message)"
LONG = """
    CREATE TABLE public.long AS
    SELECT repeat('act', 20000) AS action, repeat('act', 100) AS shorter, repeat('x', 65000) AS message
"""
"""What is copied from a table needn't be compressed for each row anew."""
ATTACKS = {
    "two messages of 100 MB": f"""
        {LOG} SELECT 'x', 'JOB ' || i, now(), now(), 'CRITICAL', 1 FROM generate_series(1, 2) AS i;
        INSERT INTO jobmon.job_check_config SELECT 'JOB ' || i, '1 day', '2 days', true, 0, '-infinity'
          FROM generate_series(1, 2) AS i;
        CREATE TABLE public.huge AS SELECT repeat('x', 100000000) AS message;
        {STEPS} SELECT job_id, 'a', now(), now(), 'CRITICAL', message FROM jobmon.job_log, public.huge
    """,
    "1,500 jobs of long names that fail with long messages": f"""
        {LONG};
        {LOG} SELECT 'x', upper(rpad('job ' || i || ' ', 490, md5(i::text))), now(), now(), 'CRITICAL', 1
                FROM generate_series(1, 1500) AS i, generate_series(1, 2);
        {STEPS} SELECT job_id, action, now(), now(), 'CRITICAL', message FROM jobmon.job_log, public.long
    """,
    "50,000 failures of one job": f"{LOG} SELECT 'x', 'JOB 1', now(), now(), 'CRITICAL', 1 FROM generate_series(1, 50000)",
    "50,000 open runs": "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)"
    " SELECT 'x', 'JOB ' || i % 1000, now(), pg_backend_pid() FROM generate_series(1, 50000) AS i",
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
READ_MOST = {
    "two messages of 100 MB": ("failed", "detail"),
    "1,500 jobs of long names that fail with long messages": ("status", "failed", "like", "detail", "report"),
    "50,000 failures of one job": ("show", "failed", "like", "report"),
    "50,000 open runs": ("status", "running", "like"),
    "100,000 steps": ("failed", "detail"),
}
"""The commands that read most of what an attack has written."""
MOST = 120 * 1024
"""KiB that a program may take: the libraries are a third of it, and all that has been written would be more."""


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_program_answers_in_bounded_memory(
    database: Database, session: psycopg.Connection, tmp_path: Path, attack: str
) -> None:
    """The plugin in each way, the commands that read what there is so much of, and of the others every third, in rotation."""
    session.execute(VICTIM)
    session.execute(ATTACKS[attack].encode())
    session.execute("ANALYZE")
    job_id = value(session, "SELECT max(job_id) FROM jobmon.job_log")
    others = [program for program in PROGRAMS if program[0] != "check_jobmon" and program[1] not in READ_MOST[attack]]
    left_out = [program for place, program in enumerate(others, [*ATTACKS].index(attack)) if place % 3]
    for module, *texts in PROGRAMS:
        if [module, *texts] in left_out:
            continue
        arguments = [text.format(job_id=job_id) for text in texts]
        command = arguments[:1] if module == "check_jobmon.ctl" else []
        ended, peak = measured(module, *command, *database.options, *arguments[len(command) :])
        assert (ended.stderr, peak < MOST) == ("", True), (arguments, peak)
        if module == "check_jobmon":
            assert ended.status == 2, ended.stdout[:300]
            assert "VICTIM missing" in ended.stdout or "VICTIM" in ended.stdout or "more" in ended.stdout
        else:
            assert ended.status == 0, arguments
    targets = tmp_path / "targets.yml"
    place = ", ".join(f"{name}: {text}" for name, text in database.parameters.items())
    targets.write_text(f"hosts: {{here: {{{place}}}}}\n")
    ended, peak = measured("check_jobmon", "--targets", str(targets), "--per-job", "--output", "json")
    assert (ended.status, ended.stderr, peak < MOST) == (2, "", True), (peak, ended.stdout[:300])
    ended, peak = measured("check_jobmon", "--targets", str(targets), "--output", "openmetrics")
    assert (ended.status, ended.stderr, peak < MOST) == (0, "", True), (peak, ended.stdout[:300])
    alerting = ('jobmon_job_state{job="VICTIM",target="here"} 2\n', 'jobmon_up{target="here"} 0\n')
    assert any(line in ended.stdout for line in alerting)
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
