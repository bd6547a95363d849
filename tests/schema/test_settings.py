"""Databases that are set up otherwise: whatever ALTER DATABASE has set, the same work has the same answers."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from psycopg import sql

from check_jobmon.demo.server import Server
from tests.database import Database

SPECIAL: dict[str, Sequence[str]] = {
    # that have no limits of their own, or whose limits would end any session or statement
    "DateStyle": ("German, MDY", "SQL, DMY", "Postgres, YMD"),
    "TimeZone": ("Asia/Kathmandu", "America/St_Johns"),
    "client_connection_check_interval": ("1s",),
    "client_encoding": ("SQL_ASCII", "LATIN1"),
    "createrole_self_grant": ("set, inherit",),
    "deadlock_timeout": ("1ms",),
    "default_text_search_config": ("pg_catalog.simple",),
    "idle_in_transaction_session_timeout": ("20s",),
    "idle_session_timeout": ("20s",),
    "lc_monetary": ("C.UTF-8",),
    "lc_numeric": ("C.UTF-8",),
    "lc_time": ("C.UTF-8",),
    "local_preload_libraries": (),
    "lock_timeout": ("20s",),
    "plpgsql.extra_errors": ("all",),
    "plpgsql.extra_warnings": ("all",),
    "search_path": ("nowhere", "pg_temp, public"),
    "statement_timeout": ("20s",),
    "temp_buffers": ("100",),
    "temp_tablespaces": ("pg_default",),
    "timezone_abbreviations": ("India",),
    "transaction_timeout": ("20s",),
    # no database can have them
    "transaction_deferrable": (),
    "transaction_isolation": (),
    "transaction_read_only": (),
    # they end the session of whoever sets them, at the first error or at once
    "exit_on_error": (),
    "max_stack_depth": ("500kB",),
    # they change what a session of the caller's own logs, and fill the server's log
    "wal_consistency_checking": (),
}
NAMES = """
    SELECT name, vartype, setting, min_val, max_val, enumvals
      FROM pg_settings
     WHERE context IN ('user', 'superuser')
       -- what the server logs is nobody's answer, and would be much
       AND name !~ '^(log|debug_print|trace)_'
     ORDER BY name
"""
TIME = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?[+-]\d\d(:\d\d)?)?"
DURATION = r"\d+(\.\d+)?m?s\b"
ZONE = r"\((GMT|UTC|[A-Z]\w+/\w+)\)"
NUMBER = r"\d{4,}\b|(?<=postgres) +\d+\b"


def hostile(session: psycopg.Connection) -> dict[str, Sequence[str]]:
    """What else each setting can be that a database can have of its own: other values, the least and the greatest.

    Of a setting with more than two values, the first two are tried.
    """
    session.execute("LOAD 'plpgsql'")
    found: dict[str, Sequence[str]] = {}
    for name, kind, current, least, greatest, others in session.execute(NAMES).fetchall():
        if name in SPECIAL:
            found[name] = SPECIAL[name]
        elif kind == "bool":
            found[name] = ["off" if current == "on" else "on"]
        elif kind == "enum":
            found[name] = [other for other in others if other != current]
        elif kind != "string":
            found[name] = [limit for limit in (least, greatest) if float(limit) != float(current)]
    return {name: values for name, values in found.items() if values}


def configure(database: Database, settings: dict[str, str]) -> None:
    """Set by ALTER DATABASE, as of the next session."""
    with Database(database.server, "postgres").connect() as session:
        for name, setting in settings.items():
            path, library = ("{}.{}", name.split(".")) if "." in name else ("{}", [name])
            setting_of = sql.SQL(path).format(*map(sql.Identifier, library))
            items = sql.SQL(", ").join(map(sql.Literal, setting.split(", ")))
            session.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(sql.Identifier(database.name), setting_of, items)
            )


def masked(text: str) -> str:
    """Without what differs from one time, session and database to the next."""
    return re.sub(f"{TIME}|{DURATION}|{ZONE}|{NUMBER}| +", " ", text)


def answers(database: Database) -> dict[str, Any]:
    """What comes of the same work: by SQL in one session, and by the commands."""
    found: dict[str, Any] = {}

    def ask(session: psycopg.Connection, statement: str, *parameters: object) -> Any:
        """The first value, of which there may be more."""
        try:
            rows = session.execute(statement.encode(), parameters).fetchall()
        except psycopg.Error as error:
            found[f"{statement} {parameters}"] = f"{error.sqlstate}: {error.diag.message_primary}"
            return None
        found[f"{statement} {parameters}"] = rows
        return rows[0][0] if rows else None

    def command(output: Any) -> None:
        printed = (output.stdout + output.stderr).replace(database.name, "the database")
        found[f"{len(found)} command"] = (output.status, masked(printed))

    command(database.ctl("bootstrap"))
    command(database.ctl("bootstrap", "--check"))
    with database.connect(client_encoding="utf8") as session:
        session.execute(
            "BEGIN READ WRITE; INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '2 days', true, 0); COMMIT"
        )
        job = ask(session, "SELECT jobmon.add_job(%s)", "tl 'x' \\ 日本")
        step = ask(session, "SELECT jobmon.add_step(%s, %s)", job, "load \\n 'it''s'")
        ask(session, "SELECT jobmon.update_step(%s, 'OK', NULL)::text", step)
        step = ask(session, "SELECT jobmon.add_step(%s, 'NULL')", job)
        ask(session, "SELECT jobmon.update_step(%s, NULL, %s)::text", step, "a\\b'c\"d{e},NULL")
        ask(session, "SELECT jobmon.close_job(%s)::text", job)
        for _ in range(3):
            ask(session, "SELECT jobmon.fail_job(jobmon.add_job('load'))::text")
        ask(session, "SELECT jobmon.fail_job(jobmon.add_job('good again'))::text")
        ask(session, "SELECT jobmon.close_job(jobmon.add_job('good again'))::text")
        ask(session, "SELECT jobmon.sql_job('etl', 'SELECT 1 / 0')")
        ask(session, "SELECT jobmon.sql_job('etl', 'SELECT FROM generate_series(1, 3)')")
        ask(session, "SELECT jobmon.close_job(4711)::text")
        ask(session, "SELECT jobmon.fail_job(1, 7)::text")
        past = ask(
            session,
            "SELECT jobmon.add_past_run(gen_random_uuid(), 'past', now() - interval '30 days 1 hour',"
            " now() - interval '30 days', 3, 'x', 'y')",
        )
        ask(session, "SELECT job_id, job_name, status FROM jobmon.show_job('load')")
        ask(session, "SELECT job_id, job_name FROM jobmon.show_job_like(%s)", r"^\w?t")
        ask(session, "SELECT job_id, action, status, message FROM jobmon.show_detail(%s)", "tl 'x' \\ 日本")
        ask(session, "SELECT * FROM jobmon.check_job_status()")
        session.execute("BEGIN READ WRITE")
        ask(session, "SELECT jobmon.silence(%s, now() + interval '1 hour', %s)", r"[^\w]*l?\_d", r"a\\b")
        session.execute("COMMIT")
        ask(session, "SELECT pattern, name_like, name_regex, reason FROM jobmon.job_silence")
        ask(session, "SELECT job_name, silence_reason FROM jobmon.check_jobs() ORDER BY 1")
        ask(session, "SELECT job_id, owner, job_name, status, end_time >= start_time FROM jobmon.job_log ORDER BY 1")
        ask(
            session,
            "SELECT job_id, step_id, action, status, message, elapsed_time >= 0 FROM jobmon.job_detail ORDER BY 1, 2",
        )
        ask(session, "SELECT * FROM jobmon.job_check_log ORDER BY 1")
        command(database.check("-v"))
        command(database.ctl("show"))
        shown = database.ctl("show", "--json", "past")
        command(database.ctl("detail", str(past)))
        command(database.ctl("clear", "-y", "20 days"))
        ask(session, "SELECT job_name FROM jobmon.show_job('past')")
        ask(session, "SELECT jobmon.job_log_clear('12 days')::text")
        ask(session, "SELECT count(*) FROM jobmon.job_detail WHERE job_id = %s", past)
        command(shown)
        command(database.ctl("run", "shell", "--", "echo", "日本"))
        ask(session, "SELECT action, status, message FROM jobmon.show_detail('shell')")
    command(database.check("-v"))
    return found


@pytest.fixture(scope="module")
def expected(server: Server) -> dict[str, Any]:
    """The answers of a database with no settings of its own."""
    with new_database(server) as database:
        return answers(database)


@contextlib.contextmanager
def new_database(server: Server) -> Iterator[Database]:
    with Database(server, "postgres").connect() as session:
        session.execute("CREATE DATABASE set_up TEMPLATE template0")
        try:
            yield Database(server, "set_up")
        finally:
            session.execute("DROP DATABASE set_up WITH (FORCE)")


def differences(server: Server, expected: dict[str, Any], settings: dict[str, str], installed: bool) -> dict[str, Any]:
    """What is answered otherwise in a database with these settings, and what there."""
    with new_database(server) as database:
        if installed:
            assert database.ctl("bootstrap").status == 0
        configure(database, settings)
        got = answers(database)
    if installed:
        assert "is up to date" in got.pop("0 command")[1]
    return {question: answer for question, answer in got.items() if answer != expected[question]}


def culprit(server: Server, expected: dict[str, Any], settings: dict[str, str], installed: bool) -> dict[str, Any]:
    """One of the settings with which there are differences, found by halves, or as few as do it together; and the differences."""
    found = differences(server, expected, settings, installed)
    if not found or len(settings) == 1:
        return {"settings": settings, **found} if found else {}
    items = list(settings.items())
    halves = (dict(items[: len(items) // 2]), dict(items[len(items) // 2 :]))
    return next(
        filter(None, (culprit(server, expected, half, installed) for half in halves)), {"settings": settings, **found}
    )


@pytest.mark.parametrize(
    ("number", "installed"),
    [(0, False), (1, False), (None, True)],
    ids=["first values before bootstrap", "second values before bootstrap", "after bootstrap"],
)
def test_whatever_a_database_has_set_the_answers_are_the_same(
    server: Server, expected: dict[str, Any], number: int | None, installed: bool
) -> None:
    """Bootstrap runs with the first values and with the second; what is set after it, is by turns one or the other."""
    with Database(server, "postgres").connect() as session:
        values = hostile(session)
    assert len(values) > 100
    settings = {
        name: these[(turn % 2 if number is None else number) % len(these)]
        for turn, (name, these) in enumerate(values.items())
    }
    assert culprit(server, expected, settings, installed) == {}
