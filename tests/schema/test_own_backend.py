"""Whose backend has a run's pid: all readers give the same answer, for each way in which a session can have that pid."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import check_jobmon
from tests.ctl.prompt import jobmonctl
from tests.database import Database, value

PACKAGE = Path(check_jobmon.__file__).parent
ROLES = """
CREATE ROLE own_team IN ROLE jobmon_log;
CREATE ROLE own_worker LOGIN IN ROLE own_team, jobmon_log;
CREATE ROLE own_stranger LOGIN IN ROLE jobmon_log;
CREATE ROLE own_signaller IN ROLE pg_signal_backend;
"""
NAMES = "own_team, own_worker, own_stranger, own_signaller"
AS_TEAM = "-c role=own_team"
READERS: dict[str, Callable[[Database, psycopg.Connection, str], bool]] = {
    "schema/monitored_jobs.sql": lambda db, _, __: db.check("--crashed", "critical").status == 0,
    "schema/functions/monitor/show_running.sql": lambda _, s, job: (
        value(s, "SELECT count(*) FROM jobmon.show_running() WHERE job_id = %s", job) == 1
    ),
    "schema/functions/owner/may_write.sql": lambda _, s, job: value(
        s, "SELECT jobmon.may_write(l, 'own_signaller', l.pid) FROM jobmon.job_log AS l WHERE job_id = %s", job
    ),
    "schema/functions/owner/may_write.sql: may_cancel": lambda _, s, job: (
        value(s, "SELECT jobmon.may_cancel(l, 'own_signaller', 0) FROM jobmon.job_log AS l WHERE job_id = %s", job)
        is True
    ),
    "schema/functions/log/cancel_job_backend.sql": lambda _, s, job: _returns(
        s, "SELECT jobmon.cancel_job_backend(%s)", job
    ),
    "schema/functions/admin/cancel_job_as_owner.sql": lambda _, s, job: _returns(
        s, "SELECT jobmon.cancel_job_as_owner(%s)", job
    ),
    "ctl/runs.sql": lambda db, _, job: "crashed" not in jobmonctl(db, "detail", job).stdout,
    "ctl/runs_running.sql": lambda db, _, __: "ETL" in jobmonctl(db, "running").stdout,
    "ctl/cancel.sql": lambda db, _, job: "has crashed" not in jobmonctl(db, "cancel", job).stderr,
    "ctl/ack_failures.sql": lambda db, _, job: jobmonctl(db, "ack", job).stdout.startswith("nothing to acknowledge"),
    "ctl/clear_under_way.sql": lambda db, _, __: "stay 1 under way" in jobmonctl(db, "clear", "0 seconds").stdout,
    "ctl/uninstall_contents.sql": lambda db, _, __: "1 of them under way" in jobmonctl(db, "uninstall").stdout,
    # these change something if it isn't
    "schema/functions/owner/may_be_alive.sql: ack_crash": lambda _, s, job: (
        not _rolled_back(s, "SELECT jobmon.ack_crash(%s)", job)
    ),
    "schema/functions/owner/may_be_alive.sql": lambda _, s, job: (
        bool(s.execute("SELECT jobmon.job_log_clear('0')"))
        and value(s, "SELECT count(*) FROM jobmon.job_log WHERE job_id = %s", job) == 1
    ),
}
"""Each file that asks, and a way to have it ask: whether the run is taken to be under way."""


def _returns(session: psycopg.Connection, query: str, job: str) -> bool:
    with contextlib.suppress(psycopg.errors.ObjectNotInPrerequisiteState):
        return bool(value(session, query, job))
    return False


def _rolled_back(session: psycopg.Connection, query: str, job: str) -> object:
    with session.transaction(force_rollback=True):
        return value(session, query, job)


@pytest.fixture
def roles(session: psycopg.Connection) -> Iterator[None]:
    session.execute(ROLES.encode())
    try:
        yield
    finally:
        session.execute(f"DROP OWNED BY {NAMES}; DROP ROLE {NAMES}".encode())


CASES = {
    "began it": ("own_worker", "", True),
    "began it after SET ROLE": ("own_worker", AS_TEAM, True),
    "claimed it": ("own_worker", "", True),
    "claimed it after SET ROLE": ("own_worker", AS_TEAM, True),
    "has the pid": ("own_stranger", "", False),
    "has the pid and the name": ("own_stranger", "", False),
    "has the pid, as the run's owner": ("own_worker", "", False),
    "has the pid and another run's name, as the run's owner": ("own_worker", "", False),
}
"""What a session did, its role and options, and whether the run is its own."""


@pytest.mark.usefixtures("roles")
@pytest.mark.parametrize("case", CASES)
def test_all_readers_know_the_runs_own_backend(database: Database, session: psycopg.Connection, case: str) -> None:
    role, options, own = CASES[case]
    with database.connect(user="own_worker", options=options) as first:
        job = str(value(first, "SELECT jobmon.add_job('etl')"))
        if case.startswith("began"):
            assert _readers(database, session, job) == dict.fromkeys(READERS, own)
            return
    name = {"has the pid and the name": job, "has the pid and another run's name, as the run's owner": f"1{job}"}
    with database.connect(
        user=role, options=options, application_name=f"jobmon run {name.get(case, 'none')}: x"
    ) as later:
        if case.startswith("claimed"):
            later.execute("SELECT jobmon.claim_job(%s)", [job])
        else:
            session.execute("UPDATE jobmon.job_log SET pid = %s", [later.info.backend_pid])
        assert _readers(database, session, job) == dict.fromkeys(READERS, own)


def _readers(database: Database, session: psycopg.Connection, job: str) -> dict[str, bool]:
    return {name: reader(database, session, job) for name, reader in READERS.items()}


def test_the_list_of_readers_is_complete() -> None:
    shared = "@schema/own_backend.sql@"
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.sql") if shared in path.read_text()}
    assert found == {name.partition(":")[0] for name in READERS}
    elsewhere = [path.name for path in PACKAGE.rglob("*.sql") if "'jobmon run ' ||" in path.read_text()]
    assert elsewhere == ["own_backend.sql"]
