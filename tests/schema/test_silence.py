"""Silences in the database: which names a pattern means, what silence() refuses, and who may do what with the table."""

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from check_jobmon.demo.server import Server
from check_jobmon.judging.selection import Selection
from check_jobmon.schema.scripts import job_status
from tests.database import Database, value

CHARACTERS = st.sampled_from([*"ABCabz019 _%.\\^$|+(){}#&~:=/'\"\n!-][]!-][*?*?", "É", "Ж", "語", "😀"])
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


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
        for pattern in patterns:
            value(
                names, "SELECT jobmon.silence(%s, now() + interval '1 hour', 'x')", pattern if pattern.strip() else "-"
            )
            judged = names.cursor(row_factory=psycopg.rows.dict_row).execute(job_status("jobmon").encode()).fetchall()
            found = {row["job_name"] for row in judged if row["silence_id"] is not None}
            selection = Selection((pattern if pattern.strip() else "-",))
            assert found == {name for name in configured if name in selection}, pattern
            names.execute("SELECT jobmon.unsilence(silence_id) FROM jobmon.job_silence")
