"""Silences in the database: which names a pattern means, what silence() refuses, and who may do what with the table."""

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from check_jobmon.demo.server import Server
from check_jobmon.judging.job import Job
from check_jobmon.judging.selection import Selection
from check_jobmon.schema.scripts import job_status
from tests.database import Database, bootstrap, value

CHARACTERS = st.sampled_from([*"ABCabz019 _%.\\^$|+(){}#&~:=/'\"\n!-][]!-][*?*?", "É", "é", "Ж", "語", "😀"])
PATTERNS = st.lists(
    CHARACTERS | st.sampled_from(["[a-c]", "[!b]", "[z-a!b]", "[]x]", "[!]", "[[:alpha:]]", "[--/]", "*[", "[b-a!-x]"]),
    min_size=1,
    max_size=8,
).map("".join)
NAMES = st.text(CHARACTERS, min_size=1, max_size=6)


@pytest.fixture(scope="module")
def names(server: Server, template: str) -> Iterator[psycopg.Connection]:
    """A session in a database that each example writes and rolls back."""
    with Database(server, "postgres").connect() as session:
        session.execute(f"CREATE DATABASE silenced_names TEMPLATE {template}".encode())
    with Database(server, "silenced_names").connect() as session:
        yield session
    with Database(server, "postgres").connect() as session:
        session.execute("DROP DATABASE silenced_names WITH (FORCE)")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(patterns=st.lists(PATTERNS, min_size=1, max_size=8), logged=st.lists(NAMES, min_size=1, max_size=12))
@example(
    patterns=["[z-a]", "[!z-a]", "[z-a!b]", "[b-a!-x]", "[]-a]", "[!]]", "[a-]", "[^a]", "[[a]"], logged=[*"ab!-x]^[z"]
)
@example(patterns=["*" + "[AB]" + "?" * 20], logged=["AB" * 100, "A" * 21])
@example(patterns=["*[AB]" * 90], logged=["AB" * 90, "AB" * 40])
def test_a_pattern_silences_the_jobs_that_the_plugins_j_selects(
    names: psycopg.Connection, patterns: list[str], logged: list[str]
) -> None:
    configured = {*logged, *(text for pattern in patterns for text in (pattern, pattern.upper()))}
    with names.transaction(force_rollback=True):
        names.cursor().executemany(
            "INSERT INTO jobmon.job_check_config VALUES (%s, '1 day', '1 day', true, 0, '-infinity')",
            [(name,) for name in configured],
        )
        for pattern in [pattern for pattern in patterns if pattern.strip()]:
            value(names, "SELECT jobmon.silence(%s, now() + interval '1 hour', 'x')", pattern)
            jobs = [Job._make(row) for row in names.execute(job_status("jobmon").encode())]
            selection = Selection((pattern,)).capitalized([value(names, "SELECT upper(%s)", pattern)])
            assert {job.name for job in jobs if job.silence} == {job.name for job in jobs if job in selection}, pattern
            names.execute("SELECT jobmon.unsilence(silence_id) FROM jobmon.job_silence")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("NULL, now() + '1 h', 'x'", "a silence needs the name of a job, or a pattern"),
        ("' ', now() + '1 h', 'x'", "a silence needs the name of a job, or a pattern"),
        ("'X', NULL, 'x'", "a silence needs an end: say until when, or until the next run"),
        ("'X', now() + '1 h', NULL", "a silence needs a reason"),
        ("'X', now() + '1 h', E' \\n'", "a silence needs a reason"),
        ("'X', now() + '1 h', 'x', NULL", "a silence needs a start: leave p_starts out to start it now"),
        ("'X', NULL, 'x', NULL, true", "a silence needs a start: leave p_starts out to start it now"),
        ("'X', now() + '1 h', 'x', now(), NULL", "p_until_next_run is NULL"),
        ("'X', 'infinity', 'x'", "it lasts 90 days at most"),
        ("'X', '-infinity', 'x'", "it lasts 90 days at most"),
        ("'X', now() + '1 h', 'x', '-infinity'", "it lasts 90 days at most"),
        ("'X', NULL, 'x', 'infinity', true", "it lasts 90 days at most"),
        ("'X', now(), 'x'", "the silence would end at"),
        ("'X', now() - interval '1 s', 'x', now() - interval '1 h'", "the silence would have ended at"),
        ("'X', now() + '90 days 1 s', 'x'", "but 90 days is the maximum"),
        ("'X', now() + '1 h', 'x', '4000-01-01 BC'", "but 90 days is the maximum"),
        ("'X', '294276-12-31', 'x', '4713-01-02 BC'", "but 90 days is the maximum"),
    ],
)
def test_nonsense_is_refused_by_a_sentence(session: psycopg.Connection, arguments: str, said: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
        session.execute(f"SELECT jobmon.silence({arguments})".encode())
    assert said in str(refused.value.diag.message_primary)
    assert value(session, "SELECT count(*) FROM jobmon.job_silence") == 0


@pytest.mark.parametrize(
    ("pattern", "like", "regex"),
    [
        ("nightly load", None, None),
        ("nightly *", "NIGHTLY %", None),
        ("100%_?\\", "100\\%\\__\\\\", None),
        ("a[bc]*.x", "A_%.X", "^A[BC].*\\.X$"),
        ("a[", "A[", "^A\\[$"),
    ],
)
def test_a_pattern_is_stored_as_the_check_compares_it(
    session: psycopg.Connection, pattern: str, like: str | None, regex: str | None
) -> None:
    session.execute("SELECT jobmon.silence(%s, now() + interval '1 hour', 'why')", [pattern])
    stored = "SELECT pattern, name_like, name_regex FROM jobmon.job_silence"
    assert session.execute(stored.encode()).fetchall() == [(pattern.upper(), like, regex)]
    # whatever the owner writes by hand
    session.execute("UPDATE jobmon.job_silence SET name_like = '%', name_regex = '('")
    assert session.execute(stored.encode()).fetchall() == [(pattern.upper(), like, regex)]


def test_what_postgresql_cannot_compile_is_refused_when_it_is_written(session: psycopg.Connection) -> None:
    session.execute(
        "CREATE OR REPLACE FUNCTION jobmon.name_regex(p_pattern text) RETURNS text LANGUAGE sql AS $$SELECT '^[b-a]$'$$"
    )
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match=r'^PostgreSQL refuses the brackets in the pattern "\[AB\]"'
    ):
        session.execute("SELECT jobmon.silence('[ab]', now() + interval '1 hour', 'why')")


def test_ninety_days_are_ninety_days_where_a_clock_is_set_back(session: psycopg.Connection) -> None:
    session.execute("SET timezone = 'Europe/Berlin'")
    start = value(session, "SELECT ((extract(year FROM now()) + 1)::text || '-09-01')::timestamptz")
    end = "%s::timestamptz + interval '90 days'"
    session.execute(f"SELECT jobmon.silence('X', {end}, 'why', %s)".encode(), [start, start])
    assert value(session, "SELECT ends - starts > interval '90 days' FROM jobmon.job_silence") is True


def test_who_silenced_is_the_caller_or_the_role_that_the_caller_has_set(session: psycopg.Connection) -> None:
    session.execute('CREATE ROLE "o\'brien" IN ROLE jobmon_admin; SET ROLE "o\'brien"')
    number = value(session, "SELECT jobmon.silence('X', now() + interval '1 hour', 'why')")
    assert value(session, "SELECT jobmon.unsilence(%s)", number) is True
    assert value(session, "SELECT jobmon.unsilence(%s)", number) is False
    assert value(session, "SELECT jobmon.unsilence(NULL)") is False
    session.execute('RESET ROLE; DROP ROLE "o\'brien"')
    assert session.execute("SELECT created_by, ended_by FROM jobmon.job_silence").fetchall() == [("o'brien", "o'brien")]


def test_the_longest_of_several_silences_is_shown(session: psycopg.Connection) -> None:
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '1 day', true, 0, '-infinity')")
    for pattern, hours in (("ETL", 1), ("E*", 3), ("[DE]??", 2), ("X", 4)):
        session.execute("SELECT jobmon.silence(%s, now() + make_interval(hours => %s), 'why')", [pattern, hours])
    judged = session.execute(job_status("jobmon").encode())
    assert judged.description is not None
    row = dict(zip([column.name for column in judged.description], judged.fetchall()[0], strict=True))
    assert (row["silence_id"], row["alert_code"], row["missing_code"]) == (2, 1, 3)


def test_bootstrap_revokes_what_would_let_others_change_what_is_written(session: psycopg.Connection) -> None:
    rights = "SELECT has_any_column_privilege('meddler', 'jobmon.job_silence', r) FROM unnest(%s::text[]) AS r"
    session.execute(
        "CREATE ROLE meddler; GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON jobmon.job_silence TO meddler;"
        "GRANT UPDATE (reason) ON jobmon.job_silence TO meddler"
    )
    bootstrap(session, "jobmon")
    assert {row[0] for row in session.execute(rights.encode(), [["INSERT", "UPDATE"]])} == {False}
    assert value(session, "SELECT has_table_privilege('meddler', 'jobmon.job_silence', 'DELETE, TRUNCATE')") is False
    assert value(session, "SELECT has_table_privilege('meddler', 'jobmon.job_silence', 'SELECT')") is True
    session.execute("DROP OWNED BY meddler; DROP ROLE meddler")
