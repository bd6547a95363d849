"""A run belongs to who started it: nobody else changes it, by no function and over no link; and who has a job's lock."""

import contextlib
import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import errors

from check_jobmon.demo.server import Server
from tests.database import Database, signature, value
from tests.schema.sessions import busy, until

OWNER, MEMBER, OTHER, NOBODY = "own_owner", "own_member", "own_other", "own_nobody"
ASLEEP = "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"


@pytest.fixture(scope="module", autouse=True)
def _roles(server: Server, template: str) -> Iterator[None]:
    with Database(server, "postgres").connect() as session:
        session.execute(
            f"CREATE ROLE {OWNER} LOGIN IN ROLE jobmon_log; CREATE ROLE {MEMBER} LOGIN IN ROLE jobmon_log, {OWNER};"
            f"CREATE ROLE {OTHER} LOGIN IN ROLE jobmon_log; CREATE ROLE {NOBODY} LOGIN".encode()
        )
        yield
        session.execute(f"DROP ROLE {MEMBER}, {OWNER}, {OTHER}, {NOBODY}".encode())


@dataclass(frozen=True)
class Victim:
    """The owner's session, and what it has logged: an open run, a failed, a closed and a cancelled one."""

    session: psycopg.Connection
    jobs: dict[str, int]
    steps: dict[str, int]


@pytest.fixture
def victim(database: Database, session: psycopg.Connection) -> Iterator[Victim]:
    with database.connect(user=OWNER) as owner:
        owner.execute("SET jobmon.keep_link = on")
        jobs, steps = {}, {}
        for state in ("open", "failed", "closed", "cancelled"):
            jobs[state] = value(owner, "SELECT jobmon.add_job(%s)", state)
            steps[state] = value(owner, "SELECT jobmon.add_step(%s, 'load')", jobs[state])
        for state, word in (("failed", "CRITICAL"), ("closed", "OK")):
            owner.execute("SELECT jobmon.update_step(%s, %s, 'done')", [steps[state], word])
        owner.execute("SELECT jobmon.fail_job(%s)", [jobs["failed"]])
        owner.execute("SELECT jobmon.close_job(%s)", [jobs["closed"]])
        session.execute("SELECT jobmon.cancel_job(%s)", [jobs["cancelled"]])
        yield Victim(owner, jobs, steps)


TABLES = ("job_log", "job_detail", "job_check_log")


def rows(session: psycopg.Connection, *names: str, of: str = "") -> dict[str, list[tuple[object, ...]]]:
    """What is in the tables; `of` is the role whose runs count, or empty for all."""
    runs = "SELECT job_id FROM jobmon.job_log WHERE owner = %s OR %s = ''"
    query = "SELECT t.*::text FROM jobmon.{} AS t WHERE job_id IN ({}) ORDER BY 1"
    return {name: session.execute(query.format(name, runs).encode(), [of, of]).fetchall() for name in names or TABLES}


EXECUTABLE = """
    SELECT p.proname::text, p.prokind = 'p', p.oid::regprocedure::text,
           ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) WITH ORDINALITY AS a(t, n) ORDER BY n)
      FROM pg_proc AS p
     WHERE p.pronamespace = 'jobmon'::regnamespace AND has_function_privilege(%s, p.oid, 'EXECUTE')
     ORDER BY 1
"""


def calls(session: psycopg.Connection, role: str, values: dict[str, list[object]]) -> Iterator[tuple[str, str]]:
    """All that the role may execute, by name, with all combinations of the values for the types of the arguments."""
    for name, is_procedure, _, types in session.execute(EXECUTABLE, [role]).fetchall():
        for chosen in itertools.product(*(values[kind] for kind in dict.fromkeys(types))):
            by_type = dict(zip(dict.fromkeys(types), chosen, strict=True))
            arguments = [
                f"NULL::{kind}"
                if by_type[kind] is None
                else f"'{str(by_type[kind]).replace(chr(39), chr(39) * 2)}'::{kind}"
                for kind in types
            ]
            yield name, f"{'CALL' if is_procedure else 'SELECT'} jobmon.{name}({', '.join(arguments)})"


def test_no_function_lets_another_logger_change_a_run(
    database: Database, session: psycopg.Connection, victim: Victim
) -> None:
    before = rows(session, of=OWNER)
    pid = victim.session.info.backend_pid
    values: dict[str, list[object]] = {
        "boolean": [True],
        "bigint": [*victim.jobs.values(), *victim.steps.values()],
        "integer": [2, 3, pid],
        "text": ["OTHER"],
        "uuid": ["00000000-0000-4000-8000-000000000001"],
        "timestamp with time zone": ["2026-01-01 00:00+00"],
    }
    called = set()
    with database.connect(user=OTHER) as other:
        other.execute("SET jobmon.keep_link = on")
        for name, group in itertools.groupby(calls(session, OTHER, values), lambda each: each[0]):
            called.add(name)
            for _, call in group:
                with contextlib.suppress(psycopg.Error):
                    other.execute(call.encode())
            assert rows(session, of=OWNER) == before, name
    assert called >= {"add_step", "update_step", "close_job", "fail_job", "cancel_job", "cancel_job_note", "sql_step"}


WRITES = (
    "SELECT jobmon.add_step({job}, 'x')",
    "SELECT jobmon.update_step({step}, 'OK', 'forged')",
    "SELECT jobmon.sql_step({job}, 'x', 'SELECT 1')",
    "SELECT jobmon.lock_job({job})",
    "SELECT jobmon.fail_job({job}, 2)",
    "SELECT jobmon.close_job({job})",
)


def test_the_refusal_says_whose_run_it_is(database: Database, victim: Victim) -> None:
    with database.connect(user=OTHER) as other:
        for state, write in itertools.product(victim.jobs, WRITES):
            with pytest.raises(errors.InsufficientPrivilege) as refused:
                other.execute(write.format(job=victim.jobs[state], step=victim.steps[state]).encode())
            diagnosis = refused.value.diag
            assert diagnosis.message_primary == (
                f'job {victim.jobs[state]} belongs to role "{OWNER}", and role "{OTHER}" may not write to it'
            )
            assert "the session that started the job" in (diagnosis.message_hint or "")


@pytest.mark.parametrize("who", [OWNER, MEMBER, "postgres"])
def test_its_owner_a_member_of_that_role_and_the_logs_owner_write_to_a_run_also_when_it_is_over(
    database: Database, session: psycopg.Connection, victim: Victim, who: str
) -> None:
    job, step = victim.jobs["open"], victim.steps["open"]
    with database.connect(user=who) as writer:
        for write in WRITES:
            writer.execute(write.format(job=job, step=step).encode())
        assert value(session, "SELECT status FROM jobmon.job_log WHERE job_id = %s", job) == "WARNING"
        writer.execute("SELECT jobmon.fail_job(%s)", [job])
        writer.execute("SELECT jobmon.update_step(%s, 'CRITICAL', 'on second thoughts')", [step])
    assert value(session, "SELECT status FROM jobmon.job_log WHERE job_id = %s", job) == "CRITICAL"
    assert value(session, "SELECT message FROM jobmon.job_detail WHERE step_id = %s", step) == "on second thoughts"
    assert value(session, "SELECT count(*) FROM jobmon.job_detail WHERE job_id = %s", job) == 3


@pytest.mark.parametrize("inherit", ["TRUE", "FALSE"])
@pytest.mark.parametrize("may_set", ["TRUE", "FALSE"])
def test_a_member_has_the_owners_runs_if_it_inherits_or_may_set_role(
    database: Database, session: psycopg.Connection, victim: Victim, inherit: str, may_set: str
) -> None:
    job, step = victim.jobs["open"], victim.steps["open"]
    kinds = session.info.server_version >= 160000  # before, every member may SET ROLE
    options = f"WITH ADMIN FALSE, INHERIT {inherit}, SET {may_set}" if kinds else ""
    session.execute(f"CREATE ROLE own_kind LOGIN IN ROLE jobmon_log; GRANT {OWNER} TO own_kind {options}".encode())
    try:
        with database.connect(user="own_kind", application_name=f"jobmon run {job}: x") as member:
            session.execute("UPDATE jobmon.job_log SET pid = %s", [member.info.backend_pid])
            under_way = value(session, "SELECT count(*) FROM jobmon.show_running()")
            refused = []
            for write in (*WRITES, "SELECT jobmon.claim_job({job})"):
                try:
                    member.execute(write.format(job=job, step=step).encode())
                except errors.InsufficientPrivilege:
                    refused.append(write)
            seen = [value(member, f"SELECT count(*) FROM jobmon.own_{what}") for what in ("runs", "steps")]
        if kinds and inherit == may_set == "FALSE":
            assert (len(refused), seen, under_way) == (len(WRITES) + 1, [0, 0], 0)
        else:
            assert (refused, under_way) == ([], 1)
            assert seen == [value(session, f"SELECT count(*) FROM jobmon.job_{what}") for what in ("log", "detail")]
    finally:
        session.execute("DROP ROLE own_kind")


def test_the_session_that_started_a_run_writes_to_it_in_any_role_and_no_other_session_with_its_pid(
    database: Database, session: psycopg.Connection
) -> None:
    with database.connect() as runner:
        runner.execute(f"SET SESSION AUTHORIZATION {OWNER}".encode())
        job = value(runner, "SELECT jobmon.add_job('etl')")
        runner.execute(f"SET SESSION AUTHORIZATION {OTHER}".encode())
        step = value(runner, "SELECT jobmon.add_step(%s, 'x')", job)
        runner.execute("SELECT jobmon.update_step(%s, 'OK', 'x')", [step])
        runner.execute("SELECT jobmon.close_job(%s)", [job])
        # a run of an earlier session, whose pid this one has got
        session.execute("UPDATE jobmon.job_log SET start_time = start_time - interval '1 day'")
        with pytest.raises(errors.InsufficientPrivilege):
            runner.execute("SELECT jobmon.fail_job(%s)", [job])
    assert value(session, "SELECT status FROM jobmon.job_log") == "OK"


def test_a_run_whose_owner_is_no_role_any_more_is_left_to_the_logs_owner(
    database: Database, session: psycopg.Connection
) -> None:
    job = value(
        session,
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid) VALUES ('left us', 'ETL', now(), 1) RETURNING job_id",
    )
    with database.connect(user=OTHER) as other, pytest.raises(errors.InsufficientPrivilege, match='role "left us"'):
        other.execute("SELECT jobmon.close_job(%s)", [job])
    session.execute("SELECT jobmon.close_job(%s)", [job])
    assert value(session, "SELECT status FROM jobmon.job_log") == "OK"


def test_who_may_not_cancel_a_run_learns_nothing_of_it_but_whose_it_is(
    database: Database, session: psycopg.Connection, victim: Victim
) -> None:
    with database.connect(user=OTHER) as other:
        for state, function in itertools.product(victim.jobs, ("cancel_job", "cancel_job_backend", "cancel_job_note")):
            job = victim.jobs[state]
            with pytest.raises(errors.InsufficientPrivilege) as refused:
                other.execute(f"SELECT jobmon.{function}({job})".encode())
            assert refused.value.diag.message_primary == (
                f'job {job} is not yours to cancel: it belongs to role "{OWNER}"'
            )
    with database.connect(user=MEMBER) as member:
        assert value(member, "SELECT jobmon.cancel_job(%s)", victim.jobs["open"]) is True


def test_the_right_to_cancel_changes_no_run_that_is_over(
    database: Database, session: psycopg.Connection, victim: Victim
) -> None:
    session.execute("CREATE ROLE own_canceller LOGIN IN ROLE jobmon_log, pg_signal_backend")
    try:
        session.execute(
            "UPDATE jobmon.job_log SET end_time = end_time - interval '1 day' WHERE job_id = %s",
            [victim.jobs["closed"]],
        )
        with database.connect(user="own_canceller") as canceller:
            before = rows(session)
            with pytest.raises(errors.InsufficientPrivilege):
                canceller.execute("SELECT jobmon.cancel_job_note(%s)", [victim.jobs["closed"]])
            assert rows(session) == before
            assert value(canceller, "SELECT jobmon.cancel_job(%s)", victim.jobs["open"]) is True
    finally:
        session.execute("DROP ROLE own_canceller")


def test_a_message_that_reads_like_a_cancellation_is_none(session: psycopg.Connection) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    step = value(session, "SELECT jobmon.add_step(%s, 'x')", job)
    session.execute("SELECT jobmon.update_step(%s, 'OK', 'cancelled by the moon')", [step])
    session.execute("SELECT jobmon.close_job(%s)", [job])
    session.execute("SELECT jobmon.update_step(%s, 'CRITICAL', 'no')", [step])
    session.execute("SELECT jobmon.fail_job(%s)", [job])
    assert session.execute("SELECT status, message FROM jobmon.job_detail").fetchall() == [("CRITICAL", "no")]
    assert value(session, "SELECT status FROM jobmon.job_log") == "CRITICAL"
    assert value(session, "SELECT alert_code FROM jobmon.job_check_log") == 3


def test_an_id_that_is_in_use_diverts_nothing(session: psycopg.Connection) -> None:
    mine = value(session, "SELECT jobmon.add_job('mine')")
    session.execute(
        "INSERT INTO jobmon.job_log (job_id, owner, job_name, start_time, pid) VALUES (%s, 'x', 'THEIRS', now(), 1)",
        [mine + 1],
    )
    session.execute(
        "INSERT INTO jobmon.job_detail (job_id, step_id, action, start_time) SELECT %s, n, 'theirs', now()"
        " FROM generate_series(1, 2) AS n",
        [mine + 1],
    )
    theirs = rows(session, of="x")
    assert value(session, "SELECT jobmon.add_job('mine')") == mine + 2
    assert value(session, "SELECT jobmon.add_step(%s, 'x')", mine) == 3
    session.execute("BEGIN READ ONLY")
    assert value(session, "SELECT jobmon.add_step(%s, 'x')", mine) == 4
    session.execute("ROLLBACK")
    assert rows(session, of="x") == theirs


# --- over a link that somebody else's function has opened ---


@pytest.fixture
def open_link(public_dblink: Database) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    """The owner's session, and that of an attacker without any right, in which a function has opened the link."""
    with public_dblink.connect() as session, public_dblink.connect(user=NOBODY) as attacker:
        value(attacker, "SELECT public.report()")
        yield session, attacker


def send(attacker: psycopg.Connection, statement: str) -> None:
    """Send a statement over the open link."""
    if statement.startswith("CALL"):
        attacker.execute("SELECT public.dblink_exec('jobmon_link', %s)", [statement])
    else:
        attacker.execute("SELECT * FROM public.dblink('jobmon_link', %s) AS t(answer text)", [statement])


def written(session: psycopg.Connection) -> tuple[object, ...]:
    """All that the log has, and the ids that were given."""
    others = [
        session.execute(f"SELECT t::text FROM jobmon.{table} AS t ORDER BY 1".encode()).fetchall()
        for table in ("job_lock", "cancelled_job", "past_run")
    ]
    sequences = (
        "SELECT j.last_value, d.last_value FROM jobmon.job_log_job_id_seq AS j, jobmon.job_detail_step_id_seq AS d"
    )
    return rows(session), others, session.execute(sequences.encode()).fetchall()


KINDS: dict[str, list[str | None]] = {
    "add_job": ["{new}", "FORGED"],
    "add_job without an id": [None, "FORGED"],
    "add_step": ["{new}", "{job}", "x"],
    "add_step without an id": [None, "{job}", "x"],
    "update_step": ["{step}", "OK", "forged"],
    "end_job": ["{job}", "1"],
    "lock_job": ["{job}"],
    "claim_job": ["{job}", "forged", "1"],
    "cancel_job": ["{job}"],
    "add_past_run": [
        *("00000000-0000-4000-8000-000000000001", "FORGED", "2026-01-01 00:00:00+00", "2026-01-01 00:00:01+00"),
        *("3", "x", "x", None, "0"),
    ],
    "clear": ["{job}", "2999-01-01", "0", "{step}"],
    "cleared": ["{step}"],
    "drop": ["{job}", "2999-01-01"],
    "kept": ["2999-01-01"],
    "ping": [],
}
"""The arguments of each call that link_serve() and link_answer() know."""


def signed(session: psycopg.Connection, kind: str, role: str, **filled: int) -> tuple[str, str]:
    """A call as link_call() makes it, and its signature."""
    arguments = [argument and argument.format(**filled) for argument in KINDS[kind]]
    row = session.execute(
        "SELECT (ARRAY[%s, %s, '1', extract(epoch FROM clock_timestamp())::numeric::text] || %s::text[])::text",
        [kind.split()[0], role, arguments],
    ).fetchone()
    assert row is not None
    return row[0], signature(session, row[0])


def test_the_calls_that_are_tried_are_all_there_are(open_link: tuple[psycopg.Connection, psycopg.Connection]) -> None:
    session, _ = open_link
    doors = "SELECT string_agg(prosrc, '') FROM pg_proc WHERE proname = 'link_do'"
    known = set(re.findall(r"(?:WHEN|p_call\[1\] =) '(\w+)' THEN", value(session, doors)))
    assert known == {kind.split()[0] for kind in KINDS}


def test_nothing_that_is_not_signed_does_anything(open_link: tuple[psycopg.Connection, psycopg.Connection]) -> None:
    session, attacker = open_link
    role = value(session, "SELECT role_name::text FROM jobmon.link")
    job = value(session, "SELECT jobmon.add_job('etl')")
    step = value(session, "SELECT jobmon.add_step(%s, 'load')", job)
    before = written(session)
    texts: list[object] = [None, "{}", "{x}", "{NULL}"]
    for kind in KINDS:
        call, mac = signed(session, kind, "postgres", job=job, step=step, new=4711)
        texts.append(call)
        # every element changed, one added, one left out, and the bounds of the array
        elements = value(session, "SELECT %s::text[]", call)
        altered = [[*elements[:i], f"{element or ''}0", *elements[i + 1 :]] for i, element in enumerate(elements)]
        for other in (*altered, [*elements, None], elements[:-1]):
            changed = value(session, "SELECT %s::text[]::text", other)
            for door in ("CALL jobmon.link_serve", "SELECT jobmon.link_answer"):
                with pytest.raises(errors.InsufficientPrivilege, match="not signed"):
                    send(attacker, f"{door}($x${changed}$x$, '{mac}')")
    called = set()
    types: dict[str, list[object]] = {
        "text": [*texts, "", "0"],
        "bytea": [None, "", "0", signature(session, "")],
        "bigint": [job, step],
        "integer": [1, 3],
    }
    for name, statement in calls(session, role, types):
        called.add(name)
        with pytest.raises(psycopg.Error, match=r"not signed|malformed array literal"):
            send(attacker, statement)
    assert called == {"link_serve", "link_answer"}
    assert written(session) == before


def test_a_call_that_is_sent_once_more_changes_nothing(
    open_link: tuple[psycopg.Connection, psycopg.Connection],
) -> None:
    """What the owner did since stays, whatever of it an attacker has overheard."""
    session, attacker = open_link
    for number, kind in enumerate(KINDS):
        job = value(session, "SELECT jobmon.add_job('etl')")
        step = value(session, "SELECT jobmon.add_step(%s, 'load')", job)
        call, mac = signed(session, kind, "postgres", job=job, step=step, new=4711 + number)
        door = (
            "CALL jobmon.link_serve" if kind in ("update_step", "end_job", "add_job") else "SELECT jobmon.link_answer"
        )
        before = written(session)
        send(attacker, f"{door}($x${call}$x$, '{mac}')")
        if kind not in ("clear", "cleared", "drop", "kept", "ping"):
            assert written(session) != before, kind
        if kind != "cancel_job":
            session.execute("SELECT jobmon.update_step(%s, 'CRITICAL', 'the truth')", [step])
            session.execute("SELECT jobmon.fail_job(%s)", [job])
        before = written(session)
        # some are refused, because the run is over by now, or there already
        with contextlib.suppress(errors.ObjectNotInPrerequisiteState, errors.UniqueViolation):
            send(attacker, f"{door}($x${call}$x$, '{mac}')")
        assert written(session) == before, kind
    old = value(session, "SELECT ARRAY['add_job', 'postgres', '1', '1', '4999', 'OLD']::text")
    mac = signature(session, old)
    with pytest.raises(errors.InsufficientPrivilege, match="more than an hour ago"):
        send(attacker, f"CALL jobmon.link_serve('{old}', '{mac}')")


def test_a_transaction_that_somebody_begins_on_the_link_holds_no_locks(
    open_link: tuple[psycopg.Connection, psycopg.Connection],
) -> None:
    session, attacker = open_link
    send(attacker, "BEGIN")
    with pytest.raises(psycopg.Error, match="somebody has begun a transaction on the job log's link"):
        attacker.execute("SELECT public.report()")
    job = value(session, "SELECT jobmon.add_job('etl')")
    step = value(session, "SELECT jobmon.add_step(%s, 'load')", job)
    send(attacker, "ROLLBACK")
    # also of a call that is older than the transaction, however somebody has got hold of it
    before = written(session)
    for kind in KINDS:
        call, mac = signed(session, kind, "postgres", job=job, step=step, new=4711)
        for door in ("CALL jobmon.link_serve", "SELECT jobmon.link_answer"):
            send(attacker, "BEGIN")
            with pytest.raises(psycopg.Error, match="somebody has begun a transaction on the job log's link"):
                send(attacker, f"{door}($x${call}$x$, '{mac}')")
            send(attacker, "ROLLBACK")
    assert written(session) == before
    assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT')").endswith("was successful")


def test_a_call_from_before_a_run_is_not_that_of_the_session_that_started_it(
    open_link: tuple[psycopg.Connection, psycopg.Connection],
) -> None:
    """Somebody who has kept calls of a session of his waits until its pid is another's."""
    session, attacker = open_link
    early = value(session, "SELECT extract(epoch FROM clock_timestamp())::numeric::text")
    job = value(session, "SELECT jobmon.add_job('etl')")
    step = value(session, "SELECT jobmon.add_step(%s, 'load')", job)
    late = value(session, "SELECT extract(epoch FROM clock_timestamp())::numeric::text")
    before = written(session)
    for time in (early, late):
        for kind in ("add_step", "update_step", "lock_job", "cancel_job", "end_job"):
            arguments = [argument and argument.format(job=job, step=step, new=4711) for argument in KINDS[kind]]
            call = value(
                session,
                "SELECT (ARRAY[%s, %s, pg_backend_pid()::text, %s] || %s::text[])::text",
                *(kind, NOBODY, time, arguments),
            )
            statement = f"CALL jobmon.link_serve($x${call}$x$, '{signature(session, call)}')"
            if time == early:
                with pytest.raises(errors.InsufficientPrivilege):
                    send(attacker, statement)
                assert written(session) == before
            elif kind == "add_step":
                # that session's own call does what it says
                send(attacker, statement)
                assert written(session) != before


def test_a_superusers_run_is_not_ended_by_who_may_only_signal_others(
    database: Database, session: psycopg.Connection
) -> None:
    """Also where the log's owner sees no more of the backend than its pid."""
    session.execute("CREATE ROLE own_signaller LOGIN IN ROLE jobmon_log, pg_signal_backend")
    try:
        with database.connect() as gone:
            job = value(gone, "SELECT jobmon.add_job('etl')")
        until(session, "SELECT count(*) = 0 FROM jobmon.show_running()")
        with database.connect(user="own_signaller") as signaller:
            for call in (f"cancel_job({job})", f"cancel_job_note({job})", f"fail_job({job})"):
                with pytest.raises(errors.InsufficientPrivilege):
                    signaller.execute(f"SELECT jobmon.{call}".encode())
        assert value(session, "SELECT end_time IS NULL FROM jobmon.job_log WHERE job_id = %s", job)
    finally:
        session.execute("DROP OWNED BY own_signaller; DROP ROLE own_signaller")


# --- the lock of a job ---


def test_who_can_only_connect_keeps_no_job_from_running(database: Database, session: psycopg.Connection) -> None:
    with (
        database.connect(user=NOBODY) as outsider,
        busy(database, "SELECT jobmon.sql_job('nightly etl', 'SELECT pg_sleep(60)')") as first,
    ):
        until(session, ASLEEP, first.pid)
        outsider.execute(
            "SELECT pg_try_advisory_lock(hashtextextended('jobmon.sql_job ' || name, 0)) FROM"
            " (VALUES ('NIGHTLY ETL'), ('LOAD')) AS v(name)"
        )
        outsider.execute(
            "SELECT CASE objsubid WHEN 1 THEN pg_try_advisory_lock(classid::bigint << 32 | objid::bigint)"
            " ELSE pg_try_advisory_lock(classid::bigint::integer, objid::bigint::integer) END"
            " FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
        first.session.cancel()
        first.join()
        for name in ("nightly etl", "load"):
            assert value(session, "SELECT jobmon.sql_job(%s, 'SELECT 1')", name).endswith("was successful")
        # nor is there anything to see that could be taken
        assert (
            value(
                session,
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> %s",
                outsider.info.backend_pid,
            )
            == 0
        )


def test_of_many_sessions_at_once_exactly_one_gets_the_lock(database: Database, session: psycopg.Connection) -> None:
    session.execute("SELECT jobmon.sql_job('etl', 'SELECT 1')")  # a row that has to be taken over
    sessions = [database.connect() for _ in range(20)]
    try:
        for name in ("etl", "new"):
            with ThreadPoolExecutor(len(sessions)) as threads:
                query = "SELECT jobmon.lock_job(jobmon.add_job(%s))"
                answers = list(threads.map(lambda each, name=name, query=query: value(each, query, name), sessions))
            assert answers.count(None) == 1
            winner = value(session, "SELECT job_id FROM jobmon.job_lock WHERE job_name = upper(%s)", name)
            pid = value(session, "SELECT pid FROM jobmon.job_log WHERE job_id = %s", winner)
            assert pid == sessions[answers.index(None)].info.backend_pid
            assert set(answers) - {None} == {f"job {winner} (pid {pid}) is under way"}
    finally:
        for each in sessions:
            each.close()


def test_a_cancelled_run_keeps_its_lock_until_its_session_has_stopped(
    database: Database, session: psycopg.Connection
) -> None:
    with database.connect() as runner:
        job = value(runner, "SELECT jobmon.add_job('etl')")
        assert value(runner, "SELECT jobmon.lock_job(%s)", job) is None
        assert value(runner, "SELECT jobmon.lock_job(%s)", job) is None
        session.execute("SELECT jobmon.cancel_job(%s)", [job])
        assert "was not run: job" in value(session, "SELECT jobmon.sql_job('etl', 'SELECT 1')")
        runner.execute("SELECT jobmon.fail_job(%s)", [job])
        assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT 1')").endswith("was successful")
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match="already over"):
            runner.execute("SELECT jobmon.lock_job(%s)", [job])


# --- how much is written ---


@pytest.mark.parametrize("character", ["x", "ä", "€", "😀"])
def test_a_long_text_keeps_its_beginning_and_its_end(session: psycopg.Connection, character: str) -> None:
    text = "beginning" + 70_000 * character + "end"
    job = value(session, "SELECT jobmon.add_job('etl')")
    step = value(session, "SELECT jobmon.add_step(%s, %s)", job, text)
    session.execute("SELECT jobmon.update_step(%s, %s, %s)", [step, text, text])
    assert value(session, "SELECT jobmon.sql_step(%s, 'x', %s)", job, f"DO $$BEGIN RAISE '{text}'; END$$") is False
    session.execute("SELECT jobmon.add_past_run(gen_random_uuid(), 'past', now(), now(), 3, %s, %s)", [text, text])
    session.execute("SELECT jobmon.cancel_job_note(%s)", [job])
    session.execute(
        "SELECT jobmon.update_step(max(step_id), 'OK', %s) FROM jobmon.job_detail WHERE job_id = %s", ["y" + text, job]
    )
    kept = [
        column
        for row in session.execute("SELECT action, status, message FROM jobmon.job_detail ORDER BY step_id")
        for column in map(str, row)
        if len(column) > 100
    ]
    assert len(kept) == 6
    for column in kept:
        assert re.search(rf"beginning{character}+ \.\.\. \[\d+ characters left out\] \.\.\. ", column)
        assert column.endswith(("end", "end [P0001]"))
        assert 65_000 < len(column.encode()) <= 65_536
    head, out, tail = re.fullmatch(r"(.*) \.\.\. \[(\d+) characters left out\] \.\.\. (.*)", kept[0]).groups()  # type: ignore[union-attr]
    assert (head[:9], tail[-3:], len(head) + int(out) + len(tail)) == ("beginning", "end", len(text))


def test_a_text_of_64_kib_is_kept_as_it_is(session: psycopg.Connection) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    session.execute("SELECT jobmon.add_step(%s, %s)", [job, 65_536 * "x"])
    assert value(session, "SELECT action FROM jobmon.job_detail") == 65_536 * "x"


def test_a_word_for_an_alert_code_has_a_sensible_length(session: psycopg.Connection) -> None:
    with pytest.raises(errors.CheckViolation):
        session.execute("UPDATE jobmon.job_status_text SET alert_text = repeat('x', 101) WHERE alert_code = 3")


def test_no_plan_that_the_caller_can_see_has_a_signed_call(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as caller:
        seen: list[str] = []
        caller.add_notice_handler(lambda notice: seen.append(str(notice.message_primary) + str(notice.message_detail)))
        caller.execute(
            "SET client_min_messages = log; SET debug_pretty_print = off; SET debug_print_plan = on;"
            "SET debug_print_parse = on; SET debug_print_rewritten = on; SET plan_cache_mode = force_custom_plan"
        )
        job = value(caller, "SELECT jobmon.add_job('etl')")
        value(caller, "SELECT jobmon.add_step(%s, 'x')", job)
        value(caller, "SELECT jobmon.lock_job(%s)", job)
        caller.execute("SELECT jobmon.cancel_job_note(%s), jobmon.job_log_clear('1 year')", [job])
    assert len(seen) > 50
    # a constant is printed as its bytes
    calls = [" ".join(str(byte) for byte in f".{name}('{{".encode()) for name in ("link_answer", "link_serve")]
    assert not [text for text in seen if any(call in text for call in calls)]


def test_a_transaction_that_has_begun_in_the_same_message_is_refused(
    open_link: tuple[psycopg.Connection, psycopg.Connection],
) -> None:
    """What is done in it before would else be done, as the log's owner, with what the call does."""
    session, attacker = open_link
    job = value(session, "SELECT jobmon.add_job('clear')")
    call, mac = signed(session, "clear", "postgres", job=job, step=1, new=1)
    with pytest.raises(psycopg.Error, match="somebody has begun a transaction"):
        send(
            attacker,
            "BEGIN; CREATE TEMPORARY TABLE mine (n integer); DO $d$ BEGIN PERFORM 1; END $d$; "
            f"SELECT jobmon.link_answer($x${call}$x$, '{mac}')",
        )
    with contextlib.suppress(psycopg.Error):
        send(attacker, "ROLLBACK")
