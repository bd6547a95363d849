"""Untrusted text, wherever the plugin shows it: never breaks the format, never reaches a terminal raw."""

import contextlib
import random
import re
import sys
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from check_jobmon.text import clean, label, title
from tests.database import Database, until, value
from tests.plugin.output.guidelines import figures_of, harmless, parse
from tests.plugin.output.hostile import TEXTS

ALL = "10000000"
ASCII = {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def hostile(database: Database) -> Iterator[psycopg.Connection]:
    """A session in a database that has a job of each name: by turns fine, late, failed and never run."""
    with database.connect() as session, session.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO jobmon.job_check_config VALUES (%s, '1 hour', '2 hours', true, 0, '-infinity')",
            [[t] for t in TEXTS],
        )
        runs = [
            (text, "90 minutes" if number % 4 == 1 else "1 minute", "CRITICAL" if number % 4 == 2 else "OK")
            for number, text in enumerate(TEXTS)
            if number % 4 != 3
        ]
        cursor.executemany(
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
            " VALUES ('me', %s, now() - %s::interval, now() - %s::interval, %s, 0)",
            [(name, ago, ago, status) for name, ago, status in runs],
        )
        yield session


@pytest.mark.parametrize("environment", [{}, ASCII], ids=["utf-8", "ascii"])
def test_each_job_has_its_own_legal_labels_and_a_line(
    database: Database, hostile: psycopg.Connection, environment: dict[str, str]
) -> None:
    output = database.check("-v", "--max-output", ALL, **environment)
    parsed = parse(output.stdout)
    assert (output.status, output.stderr) == (2, "")
    assert len(parsed.long_output) == 1 + len(TEXTS)
    expected = [
        f"{label(name)} {figure}"
        for number, name in enumerate(TEXTS)
        for figure in (("age", "failures", "duration") if number % 4 != 3 else ("failures",))
    ]
    assert sorted(figure.label for figure in parsed.figures[7:]) == sorted(expected)
    counts = [len([n for n in range(len(TEXTS)) if n % 4 in remainders]) for remainders in ((2, 3), (1,), (0,))]
    assert [parsed.values[state] for state in ("critical", "warning", "ok")] == counts
    assert parsed.text.startswith("JOBMON CRITICAL - {} critical, {} warning, {} ok: ".format(*counts))


def test_labels_do_not_depend_on_the_run_or_on_other_jobs(database: Database, hostile: psycopg.Connection) -> None:
    def labels() -> list[str]:
        return [figure.label for figure in parse(database.check("--max-output", ALL).stdout).figures]

    before = labels()
    assert labels() == before
    gone = TEXTS[::2]
    hostile.execute("DELETE FROM jobmon.job_check_config WHERE job_name = ANY (%s)", [gone])
    hostile.execute("DELETE FROM jobmon.job_check_log WHERE job_name = ANY (%s)", [gone])
    assert set(labels()) == set(before) - {f"{label(n)} {f}" for n in gone for f in ("age", "failures", "duration")}


@pytest.mark.usefixtures("hostile")
def test_every_limit_is_kept(database: Database) -> None:
    figures = {f"{label(name)} {figure}" for name in TEXTS for figure in ("age", "failures", "duration")}
    known = figures | {"critical", "warning", "ok", "query", "unknown", "silenced", "waiting"}
    for limit in (200, 300, 500, 1000, 4096, 8192, 20000):
        for verbosity in ([], ["-v"], ["-vvv"]):
            output = database.check("--max-output", str(limit), *verbosity)
            assert len(output.stdout.encode()) <= limit, verbosity
            assert {figure.label for figure in parse(output.stdout).figures} <= known, (limit, verbosity)
            assert output.status == 2, (limit, verbosity)


def test_actions_messages_and_statuses_are_shown_harmless(database: Database, session: psycopg.Connection) -> None:
    for number, text in enumerate(TEXTS):
        job = value(
            session,
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
            " VALUES (%s, %s, now(), now(), 'OK', 0) RETURNING job_id",
            text,
            f"JOB {number:03}",
        )
        session.execute(
            "INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, elapsed_time, status, message)"
            " VALUES (%s, %s, now(), now(), 1, %s, %s)",
            [job, text, text, text],
        )
        session.execute("UPDATE jobmon.job_log SET status = %s WHERE job_id = %s", [text, job])
        session.execute(
            "INSERT INTO jobmon.job_check_log SELECT %s, %s, 3"
            " UNION ALL SELECT 1000000 + 10 * %s::bigint + n, %s, 3 FROM generate_series(1, 2) AS n",
            [job, f"JOB {number:03}"] * 2,
        )
    for verbosity in ([], ["-v"], ["-vvv"]):
        output = database.check("--max-output", ALL, *verbosity)
        parsed = parse(output.stdout)
        assert (output.status, output.stderr) == (2, "")
        assert len(parsed.figures) == 7 + 3 * len(TEXTS)
        for number in range(len(TEXTS)):
            assert sum(f"JOB {number:03}" in line for line in parsed.long_output) == 1
        assert max(len(line) for line in parsed.long_output) < 1500
    steps = [line for line in parsed.long_output if line.startswith("    1. ")]
    assert len(steps) == len(TEXTS)
    assert sum("Robert'); DROP TABLE" in line for line in steps) == 1


def test_who_blocks_is_shown_harmless(database: Database, session: psycopg.Connection) -> None:
    texts = [text for text in TEXTS if len(text.encode()) < 64]
    role = 'ev"il|\n<b>$(id)\x1b[31m'
    session.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    try:
        with contextlib.ExitStack() as sessions:
            for number, text in enumerate(texts):
                blocker = sessions.enter_context(contextlib.closing(database.connect(user=role)))
                blocker.execute(
                    "SELECT set_config('application_name', %s, false), pg_advisory_lock(%s)", [text, number]
                )
                blocked = sessions.enter_context(contextlib.closing(database.connect()))
                name = f"JOB {number:03}"
                blocked.execute(
                    "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)"
                    " VALUES ('me', %s, clock_timestamp(), pg_backend_pid())",
                    [name],
                )
                blocked.execute(
                    "INSERT INTO jobmon.job_check_config VALUES (%s, '1 microsecond', '1 day', true, 0, '-infinity')",
                    [name],
                )
                blocked.pgconn.send_query(f"SELECT pg_advisory_lock({number})".encode())
            until(
                lambda: (
                    value(session, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
                    == len(texts)
                )
            )
            output = database.check("--max-output", ALL)
    finally:
        session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [role])
        until(lambda: not value(session, "SELECT count(*) FROM pg_stat_activity WHERE usename = %s", role))
        session.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    parsed = parse(output.stdout)
    assert (output.status, output.stderr) == (1, "")
    assert len(parsed.long_output) == len(texts)
    for line in parsed.long_output:
        assert re.fullmatch(
            r"WARNING JOB \d+: blocked by pid \d+ \(ev\"il¦ <b>\$\(id\)\[31m.*\).*, still running after .*", line
        )


@pytest.mark.parametrize(
    "word", ["A|B", "<b>", "\x1b[31mRED", "TWO\nLINES", "\u202eRTL", "😀" * 100, "O'BRIEN=1;2", "夜間"], ids=ascii
)
def test_words_for_the_states_are_shown_harmless(database: Database, session: psycopg.Connection, word: str) -> None:
    session.execute("UPDATE jobmon.job_status_text SET alert_text = %s WHERE alert_code = 3", [word])
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 hour', '2 hours', true, 0, '-infinity')")
    output = database.check("-v")
    parsed = parse(output.stdout)
    shown = clean(word, 40).replace("|", "¦")
    assert parsed.text.startswith(f"JOBMON {shown} - 1 {shown.lower()}, 0 ok: ETL missing")
    assert re.fullmatch(f"{re.escape(shown)} +ETL  never  .*", parsed.long_output[1])
    assert output.status == 2


@pytest.mark.parametrize("text", [*TEXTS, "\ud800", "A\udfffB", ""], ids=lambda text: ascii(text)[:40])
def test_any_text_is_made_harmless(text: str) -> None:
    for length in (0, 5, 80):
        shown = clean(text, length)
        harmless(shown)
        assert not length or len(shown) <= length
    assert title(text)
    assert [figure.label for figure in figures_of(f"'{label(text)}'=1")] == [label(text)]


@pytest.mark.parametrize("seed", range(5))
def test_labels_of_random_names_are_legal_and_unique(seed: int) -> None:
    chance = random.Random(seed)
    alphabet = "AB'=;|: \t\n~_\u0301\u200b\u202e夜😀\x1b5f"
    names = {"".join(chance.choices(alphabet, k=chance.randrange(80))) for _ in range(3000)}
    names |= {"".join(chr(chance.randrange(sys.maxunicode)) for _ in range(chance.randrange(6))) for _ in range(3000)}
    labels = [label(name) for name in names]
    assert len(set(labels)) == len(names)
    figures_of(" ".join(f"'{label}'=1" for label in labels))


def test_a_cut_text_says_that_it_is() -> None:
    assert clean("\n" * 1000 + "the end", 80).endswith("…")
    assert clean("A" * 81, 80) == "A" * 79 + "…"
    assert clean("A" * 80, 80) == "A" * 80
