"""Logging into a database that has the extension pg_jobmon: refused with a sentence, before anything is written."""

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import check_jobmon
from tests.database import Database, bootstrap, value
from tests.judging.test_pg_jobmon import VARIANTS

FUNCTIONS = {
    "add_job(p_job_name text) RETURNS bigint": (
        "INSERT INTO jobmon.job_log VALUES (1, 'x', 'X', now(), NULL, NULL, 1) RETURNING job_id"
    ),
    "add_step(p_job_id bigint, p_action text) RETURNS bigint": "SELECT 1::bigint",
    "update_step(p_step_id bigint, p_status text, p_message text) RETURNS void": "SELECT",
    "close_job(p_job_id bigint) RETURNS void": "SELECT",
    "fail_job(p_job_id bigint, p_fail_level int DEFAULT 3) RETURNS void": "SELECT",
    "sql_job(p_job_name text, p_sql text) RETURNS text": "SELECT ''::text",
}
"""As the reference text has them, by signature."""


@pytest.fixture
def extension(empty_database: Database) -> Database:
    """A database with tables and functions as pg_jobmon has them."""
    with empty_database.connect() as session:
        VARIANTS[-1].create(session)
        for signature, body in FUNCTIONS.items():
            session.execute(f"CREATE FUNCTION jobmon.{signature} LANGUAGE sql AS $${body}$$".encode())
    return empty_database


def _refusal(database: Database) -> str:
    return (
        f'schema "jobmon" of database "{database.name}" is the extension pg_jobmon\'s, which only SQL can log to: install '
        f"check_jobmon's own beside it (jobmonctl bootstrap -d {database.name} --schema joblog), and log there "
        '(--schema joblog, in Python schema="joblog")'
    )


def test_python_refuses_to_log_to_pg_jobmon_and_says_what_to_do(extension: Database) -> None:
    done = []
    conninfo = make_conninfo("", **extension.parameters)
    with pytest.raises(psycopg.Error) as refused, check_jobmon.job("etl", conninfo):
        done.append("body")
    assert (str(refused.value), done) == (_refusal(extension), [])
    with extension.connect() as session:
        assert value(session, "SELECT count(*) FROM jobmon.job_log") == 0
        # doing what it says helps
        bootstrap(session, "joblog")
        with check_jobmon.job("etl", conninfo, schema="joblog"):
            pass
        assert value(session, "SELECT status FROM joblog.job_log") == "OK"


def test_a_command_is_run_and_its_log_kept_with_the_same_sentence(extension: Database, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    done = extension.ctl("run", "etl", "--spool", str(spool), "--", "sh", "-c", "exit 3")
    (kept,) = (path for path in spool.rglob("*") if path.is_file() and path.suffix == ".json")
    assert (done.status, done.stdout) == (3, "")
    assert done.stderr == (
        f"jobmonctl run: the run could not be logged ({_refusal(extension)}): its log is kept in {kept}, and the next run "
        "delivers it\n"
    )
    done = extension.ctl("run", "--deliver", "--spool", str(spool))
    assert (done.status, done.stderr) == (1, f"jobmonctl run: not all could be delivered: {_refusal(extension)}\n")
    with extension.connect() as session:
        assert value(session, "SELECT count(*) FROM jobmon.job_log") == 0
