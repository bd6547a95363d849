"""The spool and add_past_run(): what was kept is logged once, and counts as if it had been logged in time."""

import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from check_jobmon.recording.past_run import PastRun, timestamp
from check_jobmon.recording.recorder import Recorder
from check_jobmon.recording.spool import FolderRefused, Spool, default_folder, job_log_key
from check_jobmon.text import storable
from tests.database import Database, value

RUNS = "SELECT job_name, status FROM jobmon.job_log ORDER BY job_id"
FAILURES = "SELECT count(*) FROM jobmon.job_check_log"
HERE = "schema=jobmon"


def _past(start: float, end: float, alert_code: int = 1, name: str = "etl", **more: object) -> PastRun:
    """A run from so many to so many seconds after 2024-01-01."""
    begin = 1704067200
    return PastRun(
        HERE,
        name,
        timestamp(begin + start),
        timestamp(begin + end),
        alert_code,
        "load",
        "done",
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
def recorder(database: Database) -> Iterator[Recorder]:
    """A recorder in the test's database."""
    with Recorder(database.parameters) as recorder:
        yield recorder


def test_a_past_run_has_the_times_it_had(session: psycopg.Connection, recorder: Recorder) -> None:
    job = recorder.add_past_run(_past(0, 90.5, 3))
    assert session.execute(
        "SELECT job_id, owner, job_name, status, pid, start_time = '2024-01-01 00:00:00+00',"
        " end_time = '2024-01-01 00:01:30.5+00' FROM jobmon.job_log"
    ).fetchall() == [(job, "postgres", "ETL", "CRITICAL", 0, True, True)]
    assert session.execute(
        "SELECT job_id, action, status, message, elapsed_time FROM jobmon.job_detail"
    ).fetchall() == [(job, "load", "CRITICAL", "done", 90.5)]
    assert session.execute("TABLE jobmon.job_check_log").fetchall() == [(job, "ETL", 3)]


def test_a_run_that_is_delivered_again_adds_nothing(
    database: Database, session: psycopg.Connection, recorder: Recorder
) -> None:
    run = _past(0, 1, 3)

    def deliver(_: int) -> int:
        with Recorder(database.parameters) as another:
            return another.add_past_run(run)

    with ThreadPoolExecutor(4) as threads:
        job_ids = set(threads.map(deliver, range(8)))
    assert job_ids == {recorder.add_past_run(run)}
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")]
    assert value(session, "SELECT count(*) FROM jobmon.job_detail") == 1
    assert value(session, FAILURES) == 1


def test_a_crash_between_the_delivery_and_the_deletion_of_the_file_doubles_nothing(
    session: psycopg.Connection, recorder: Recorder, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    path = spool.write(_past(0, 1))
    content = path.read_bytes()
    assert spool.deliver(recorder, HERE) == (1, [])
    assert not path.exists()
    path.write_bytes(content)
    assert spool.deliver(recorder, HERE) == (1, [])
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]


def test_an_old_success_does_not_clear_a_later_failure(session: psycopg.Connection, recorder: Recorder) -> None:
    before, after = recorder.add_past_run(_past(0, 1, 3)), recorder.add_past_run(_past(10, 11, 2))
    recorder.add_past_run(_past(5, 6, 1))
    assert before < after
    assert session.execute("TABLE jobmon.job_check_log").fetchall() == [(after, "ETL", 2)]


def test_an_old_failure_does_not_alert_when_a_later_run_went_well(
    session: psycopg.Connection, recorder: Recorder
) -> None:
    recorder.add_past_run(_past(10, 11, 1))
    recorder.add_past_run(_past(5, 6, 3))
    assert value(session, FAILURES) == 0
    recorder.add_past_run(_past(12, 13, 3))
    assert value(session, FAILURES) == 1


def test_a_run_that_was_added_before_the_connection_was_lost_is_ended(
    session: psycopg.Connection, recorder: Recorder
) -> None:
    job = recorder.add_job("etl")
    recorder.add_step(job, "load")
    later = 3600 * 24 * 365 * 30  # after it was added
    assert recorder.add_past_run(_past(0, later, 3, job_id=job, pid=recorder.pid)) == job
    assert session.execute("SELECT job_name, status, end_time >= start_time FROM jobmon.job_log").fetchall() == [
        ("ETL", "CRITICAL", True)
    ]
    assert session.execute("SELECT status, message, end_time >= start_time FROM jobmon.job_detail").fetchall() == [
        ("CRITICAL", "done", True)
    ]
    assert value(session, FAILURES) == 1


def test_a_run_whose_adding_was_never_answered_is_found_by_its_pid(
    session: psycopg.Connection, recorder: Recorder
) -> None:
    job = recorder.add_job("etl")
    now = value(session, "SELECT extract(epoch FROM clock_timestamp())::float8")
    run = PastRun(HERE, "etl", timestamp(now - 9), timestamp(now), 1, "load", "done", pid=recorder.pid)
    assert recorder.add_past_run(run) == job
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]
    assert value(session, "SELECT message FROM jobmon.job_detail") == "done"


def test_a_run_that_has_ended_meanwhile_stays_as_it_is(session: psycopg.Connection, recorder: Recorder) -> None:
    job = recorder.add_job("etl")
    recorder.end_job(job, 1)
    assert recorder.add_past_run(_past(0, 1, 3, job_id=job, pid=recorder.pid)) == job
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]
    assert value(session, FAILURES) == 0


def test_a_clock_that_is_ahead_makes_no_run_that_is_yet_to_come(
    session: psycopg.Connection, recorder: Recorder
) -> None:
    century = 100 * 365 * 86400
    recorder.add_past_run(_past(century, century + 60))
    assert value(session, "SELECT end_time <= clock_timestamp() FROM jobmon.job_log")
    assert value(session, "SELECT extract(epoch FROM end_time - start_time)::integer FROM jobmon.job_log") == 60


def test_another_roles_run_is_not_ended(database: Database, session: psycopg.Connection, recorder: Recorder) -> None:
    job = recorder.add_job("etl")
    session.execute("CREATE ROLE spool_other LOGIN IN ROLE jobmon_log")
    try:
        with Recorder({**database.parameters, "user": "spool_other"}) as other:
            assert other.add_past_run(_past(0, 1, job_id=job, pid=recorder.pid)) != job
            with pytest.raises(errors.InsufficientPrivilege):
                database.connect(user="spool_other").execute("SELECT jobmon.link_add_past_run(ARRAY['x'])")
        assert session.execute("SELECT owner, status FROM jobmon.job_log ORDER BY job_id").fetchall() == [
            ("postgres", None),
            ("spool_other", "OK"),
        ]
    finally:
        session.execute("DROP OWNED BY spool_other; DROP ROLE spool_other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_key": "NULL"}, "needs a key"),
        ({"p_job_name": "' '"}, "a job's name has 1 to 500 characters"),
        ({"p_start_time": "now()", "p_end_time": "now() - interval '1 s'"}, "a run can't be from"),
        ({"p_end_time": "'infinity'"}, "a run can't be from"),
        ({"p_end_time": "NULL"}, "a run can't be from"),
        ({"p_alert_code": "4"}, "no alert level 4"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(
    session: psycopg.Connection, change: dict[str, str], message: str
) -> None:
    good = {
        "p_key": f"'{uuid.uuid4()}'",
        "p_job_name": "'etl'",
        "p_start_time": "now()",
        "p_end_time": "now()",
        "p_alert_code": "1",
        "p_action": "'load'",
        "p_message": "NULL",
    }
    call = ", ".join(f"{name} => {argument}" for name, argument in {**good, **change}.items())
    with pytest.raises(psycopg.Error, match=message):
        session.execute(f"SELECT jobmon.add_past_run({call})".encode())
    assert value(session, "SELECT count(*) FROM jobmon.job_log") == 0
    assert value(session, "SELECT count(*) FROM jobmon.past_run") == 0


def test_cleared_runs_take_their_keys_along(session: psycopg.Connection, recorder: Recorder) -> None:
    recorder.add_past_run(_past(0, 1))
    session.execute("SELECT jobmon.job_log_clear('1 day')")
    assert value(session, "SELECT count(*) FROM jobmon.past_run") == 0


def test_runs_are_delivered_in_their_order_and_only_to_their_job_log(
    session: psycopg.Connection, recorder: Recorder, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    for start, name in ((20, "third"), (0, "first"), (10, "second")):
        spool.write(_past(start, start + 1, name=name))
    other = spool.write(PastRun("elsewhere", "etl", timestamp(0), timestamp(0), 1, "load", ""))
    assert spool.deliver(recorder, HERE) == (3, [])
    assert [name for name, _ in session.execute(RUNS).fetchall()] == ["FIRST", "SECOND", "THIRD"]
    assert list(spool.folder.iterdir()) == [other]


@pytest.mark.parametrize("state", ["23514", "40001", "42501", "53100", "54000", "55P03", "57014", "P0001", "XX000"])
def test_what_the_server_does_not_take_now_stays_and_does_not_hold_up_the_others(
    session: psycopg.Connection, recorder: Recorder, tmp_path: Path, state: str
) -> None:
    spool = Spool(tmp_path / "spool")
    bad = spool.write(_past(0, 1))
    spool.write(_past(2, 3, name="index"))
    session.execute(
        f"""
        CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = '{state}'; END $$;
        CREATE TRIGGER no BEFORE INSERT ON jobmon.job_log FOR EACH ROW WHEN (NEW.job_name = 'ETL') EXECUTE FUNCTION no();
        """.encode()
    )
    delivered, (reason,) = spool.deliver(recorder, HERE)
    assert delivered == 1
    assert reason == f"{bad} is refused: not this one"
    assert list(spool.folder.iterdir()) == [bad]


def _written(**change: object) -> bytes:
    """The file of a run of which something is changed."""
    return json.dumps({**asdict(_past(0, 1)), **change}).encode()


NEVER = {
    "cut off": (_written()[:40], "it is not a complete run: "),
    "empty": (b"", "it is not a complete run: "),
    "binary": (b"\xff\x00", "it is not a complete run: 'utf-8' codec can't decode"),
    "deep": (b"[" * 200_000, "it is not a complete run: maximum recursion depth exceeded"),
    "list": (b"[]", "it is not a complete run: "),
    "other keys": (b'{"a": 1}', "it is not a complete run: "),
    "large": (b" " * 1_000_001, "it is too large for a run"),
    "number for a name": (_written(name=1), "it is not a run: its name is of type int"),
    "true for a level": (_written(alert_code=True), "it is not a run: its alert_code is of type bool"),
    "object for a job_id": (_written(job_id={}), "it is not a run: its job_id is of type dict"),
    "no level": (_written(alert_code=4), "no alert level 4 in jobmon.job_status_text"),
    "no number": (_written(job_id=10**30), "bigint out of range"),
    "no key": (_written(key="x"), 'invalid input syntax for type uuid: "x"'),
    "no time": (_written(start="x"), 'invalid input syntax for type timestamp with time zone: "x"'),
    "no finite time": (_written(end="infinity"), "a run can't be from"),
    "no name": (_written(name=" "), "a job's name has 1 to 500 characters"),
    "long name": (_written(name="x" * 501), "a job's name has 1 to 500 characters"),
}
"""Files that can never be delivered, and why."""


@pytest.mark.parametrize(("content", "reason"), NEVER.values(), ids=NEVER)
def test_what_can_never_be_logged_is_set_aside_and_stops_nothing(
    session: psycopg.Connection, recorder: Recorder, tmp_path: Path, content: bytes, reason: str
) -> None:
    spool = Spool(tmp_path / "spool")
    last = spool.write(_past(0, 1))
    bad = spool.folder / "0.json"
    bad.write_bytes(content)
    delivered, (line,) = spool.deliver(recorder, HERE)
    assert delivered == 1
    aside = spool.folder / "refused"
    ((path, said),) = spool.refused()
    assert line == f"{bad} can't be logged ({said}): it is set aside in {aside}"
    assert said.startswith(reason)
    assert (path, path.read_bytes()) == (aside / bad.name, content)
    assert (list(spool.folder.iterdir()), last.exists()) == ([aside], False)
    assert spool.deliver(recorder, HERE) == (0, [])
    assert session.execute(RUNS).fetchall() == [("ETL", "OK")]


@pytest.mark.parametrize(
    "text", ["caf\udce9", "a\0b", "\ud800", "\u200b", "\t", "a|b  c\n", "\U0010ffff" * 500], ids=ascii
)
def test_whatever_a_run_is_called_it_is_written_so_that_it_can_be_delivered(
    session: psycopg.Connection, recorder: Recorder, tmp_path: Path, text: str
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.write(replace(_past(0, 1), name=text, action=text * 100, message=text))
    ((_, run),) = spool.runs(HERE)
    assert run.name == storable(text)
    assert spool.deliver(recorder, HERE) == (1, [])
    ((action, message),) = session.execute("SELECT action, message FROM jobmon.job_detail").fetchall()
    assert message == storable(text)
    assert action == storable(text * 100) or "characters left out" in action


def test_a_file_whose_writer_was_killed_is_delivered_or_set_aside(
    session: psycopg.Connection, recorder: Recorder, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    for name, seconds in (("whole", 0), ("cut off", 2), ("being written", 4)):
        path = spool.write(_past(seconds, seconds + 1, name=name))
        left = path.rename(path.with_suffix(".tmp"))
        if name == "cut off":
            left.write_bytes(left.read_bytes()[:40])
        if name != "being written":
            os.utime(left, (0, 0))
    delivered, (line,) = spool.deliver(recorder, HERE)
    assert (delivered, session.execute(RUNS).fetchall()) == (1, [("WHOLE", "OK")])
    assert "it is not a complete run" in line
    assert sorted(spool.folder.iterdir()) == [left, spool.folder / "refused"]


def test_what_is_no_file_of_ours_is_passed_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    path = spool.write(_past(0, 1))
    (spool.folder / "folder.json").mkdir()
    (spool.folder / "link.json").symlink_to(path)
    os.mkfifo(spool.folder / "fifo.json")
    assert [found for found, _ in spool.files()] == [path]
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        assert list(spool.files()) == []


@pytest.mark.parametrize("variable", ["", "state", "./state", "../state"])
def test_a_state_folder_that_is_relative_is_ignored(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_folder() == Path("/state/check_jobmon/spool")
    monkeypatch.delenv("XDG_STATE_HOME")
    default = default_folder()
    monkeypatch.setenv("XDG_STATE_HOME", variable)
    assert default_folder() == default


HARM = [
    ("group may write", 0o770, "other users may write to it: chmod 700 it"),
    ("all may write", 0o777, "other users may write to it: chmod 700 it"),
    ("all may write, sticky", 0o1777, "other users may write to it: chmod 700 it"),
    ("of another user", 0o700, "it belongs to another user (uid 65534)"),
    ("link to another user's", 0o700, "it belongs to another user (uid 65534)"),
    ("in a folder that all may write", 0o700, "other users may write to a folder above it"),
    ("a file", 0o600, "it is not a folder"),
]


@pytest.mark.parametrize(("kind", "mode", "reason"), HARM, ids=[harm[0] for harm in HARM])
def test_a_folder_that_others_may_write_is_neither_read_nor_written(
    tmp_path: Path, kind: str, mode: int, reason: str
) -> None:
    spool = Spool(tmp_path / "above" / "spool")
    if kind == "a file":
        spool.folder.parent.mkdir()
        spool.folder.touch()
    else:
        path = spool.write(_past(0, 1))
        assert (path.parent, path.parent.stat().st_mode & 0o7777) == (spool.folder, 0o700)
    spool.folder.chmod(mode)
    if "another user" in kind:
        if os.geteuid() != 0:
            pytest.skip("needs root, to have a folder of another user")
        os.chown(spool.folder, 65534, 65534)
    if kind.startswith("link"):
        real, spool = spool, Spool(tmp_path / "link")
        spool.folder.symlink_to(real.folder)
    if kind.startswith("in a folder"):
        spool.folder.parent.chmod(0o777)
        assert spool.refusal() != ""
        spool.folder.parent.chmod(0o1777)
        assert spool.refusal() == ""
        spool.folder.parent.chmod(0o777)
    before = sorted(tmp_path.rglob("*"))
    assert spool.refusal() == f"the spool folder {spool.folder} is not used: {reason}, or name another with --spool"
    assert list(spool.runs(HERE)) == []
    with pytest.raises((FolderRefused, FileExistsError)):
        spool.write(_past(2, 3))
    with pytest.raises((FolderRefused, FileExistsError)), spool.lock(HERE, "etl"):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_the_folder_for_temporary_files_is_refused() -> None:
    assert Spool(Path("/tmp")).refusal().startswith("the spool folder /tmp is not used: ")


def test_a_target_is_the_same_however_it_is_said_and_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    said = job_log_key({"host": "db", "dbname": "etl", "user": "me", "password": "secret"}, "jobmon")
    assert said == job_log_key({"conninfo": "postgresql://me@db/etl?application_name=x"}, "jobmon")
    assert "secret" not in said
    assert said != job_log_key({"host": "db", "dbname": "etl", "user": "me"}, "other")
    monkeypatch.setenv("PGHOST", "db")
    assert said == job_log_key({"dbname": "etl", "user": "me"}, "jobmon")
    assert said != job_log_key({"dbname": "etl", "user": "me", "host": "other"}, "jobmon")
    monkeypatch.setenv("PGUSER", os.fsdecode(b"caf\xe9"))
    assert r"user=caf\xe9" in job_log_key({"dbname": "etl"}, "jobmon")
