"""Names are compared as the server capitalizes them, whatever its locale; Python's rules for letters are never used."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, bootstrap, run_module, value
from tests.parsers import leaves_of

LOCALES = {
    "c": "LC_COLLATE 'C' LC_CTYPE 'C'",
    "utf8": "LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
    "builtin": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
    "unicode": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'PG_UNICODE_FAST' LOCALE 'C'",
    "turkish": "LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' LOCALE 'C.UTF-8'",
}
"""The first two are on every server; the others came with 17, 18 and 15, and ICU's only if the server is built with it."""
NAMES = ["straße", "iki ı", "ŉ", "ǆ"]


@pytest.fixture(scope="module")
def databases(server: Server) -> Iterator[list[Database]]:
    """A database with the schema in each locale that the server has."""
    made: list[Database] = []
    with Database(server, "postgres").connect() as session:
        for name, locale in LOCALES.items():
            try:
                session.execute(f"CREATE DATABASE case_{name} TEMPLATE template0 ENCODING 'UTF8' {locale}".encode())
            except psycopg.Error:
                assert len(made) >= 2
                continue
            made.append(Database(server, f"case_{name}"))
            with made[-1].connect() as other:
                bootstrap(other, "jobmon")
        yield made
        for database in made:
            session.execute(f"DROP DATABASE {database.name} WITH (FORCE)".encode())


@pytest.fixture
def sessions(databases: list[Database]) -> Iterator[list[tuple[Database, psycopg.Connection]]]:
    """A session in each of them, with a failed run of each name, and nothing else."""
    opened = [(database, database.connect()) for database in databases]
    for _, session in opened:
        session.execute(
            "TRUNCATE jobmon.job_log, jobmon.job_detail, jobmon.job_check_log, jobmon.job_check_config CASCADE"
        )
        session.execute("SELECT jobmon.fail_job(jobmon.add_job(n)) FROM unnest(%s::text[]) AS n", [NAMES])
    yield opened
    for _, session in opened:
        session.close()


def judged(database: Database, *arguments: str) -> set[str]:
    """The jobs that a check is about."""
    output = database.check(*arguments, "--output", "json", "--failures", "1")
    return {job["name"] for result in json.loads(output.stdout)["results"] for job in result["jobs"]}


def upper(session: psycopg.Connection, name: str) -> str:
    return str(value(session, "SELECT upper(%s)", name))


def test_the_check_selects_a_job_by_the_name_that_was_logged(
    sessions: list[tuple[Database, psycopg.Connection]],
) -> None:
    """Each name in each locale, by turns as it is and as a pattern; by one it is selected, by the other left out."""
    for number, (database, session) in enumerate(sessions):
        logged = {upper(session, name) for name in NAMES}
        assert judged(database) == logged
        for place, name in enumerate(NAMES):
            wanted, unwanted = (name, f"*{name}*") if (number + place) % 2 else (f"*{name}*", name)
            assert judged(database, "-j", wanted) == {upper(session, name)}, name
            if place // 2 == number % 2:
                assert judged(database, "-x", unwanted) == logged - {upper(session, name)}, name
        output = database.check("-j", "ıss")
        assert output.stdout.startswith(f'JOBMON UNKNOWN - no job "{upper(session, "ıss")}" was ever logged or conf')


def test_names_that_only_python_takes_for_one_are_two_jobs(databases: list[Database]) -> None:
    database = databases[0]
    with database.connect() as session:
        session.execute("SELECT jobmon.fail_job(jobmon.add_job(n)) FROM unnest('{né,nÉ,kuß,KUSS}'::text[]) AS n")
        for name in ("né", "nÉ", "kuß", "kuss"):
            assert judged(database, "-j", name) == judged(database, "-j", f"{name}*") == {upper(session, name)}
            assert upper(session, name) not in judged(database, "-x", name)
            assert len(json.loads(database.ctl("show", "--json", name).stdout)) == 1


def test_every_command_finds_a_job_by_the_name_that_was_logged(
    sessions: list[tuple[Database, psycopg.Connection]], tmp_path: Path
) -> None:
    """Each command in every other locale, from the first or the second in turn, each time with the next of the names.

    What a locale makes of a name, the server says in the same way to all commands: so each command meets several names and
    locales, and each name and each locale several commands.
    """
    found: list[str] = []
    for path, parser in leaves_of("jobmonctl").items():
        places = [
            action.option_strings[:1]
            for action in parser._actions
            if "--job" in action.option_strings
            or (not action.option_strings and "NAME" in str(action.metavar))
            # like's text is a part of a name
            or action.metavar == "TEXT"
        ]
        if not places or path[0] == "config":  # whose names are those of the file, below
            continue
        found.append(" ".join(path))
        more = {
            "run": ["--spool", str(tmp_path), "--", "true"],
            "ack": ["-y"],
            "silence": ["1h", "-m", "test"],
            "report": ["-o", "-"],
        }.get(path[0], [])
        for number, (database, session) in enumerate(sessions[len(found) % 2 :: 2]):
            name = NAMES[(number + len(found) // 2) % len(NAMES)]
            output = database.ctl(*path, *places[0], name, *more)
            assert (output.status, output.stderr) == (0, "")
            last = value(session, "SELECT job_name FROM jobmon.job_log ORDER BY job_id DESC LIMIT 1")
            assert upper(session, name) in (last if path[0] == "run" else output.stdout)
    assert sorted(found) == sorted(
        ["ack", "detail", "failed", "history", "like", "report", "run", "show", "silence", "status"]
    )


def test_show_functions_find_it_too(sessions: list[tuple[Database, psycopg.Connection]]) -> None:
    for _, session in sessions:
        for name in NAMES:
            for function in ("show_job(%s)", "show_job_like(%s)", "show_job_status(%s, 'CRITICAL')"):
                query = f"SELECT array_agg(job_name) FROM jobmon.{function}"
                assert value(session, query, name) == [upper(session, name)]


def test_the_configuration_file_names_jobs_as_they_are_logged(
    sessions: list[tuple[Database, psycopg.Connection]], tmp_path: Path
) -> None:
    path = tmp_path / "jobs.yml"
    path.write_text("defaults: {warn: 1h, error: 2h}\njobs:\n" + "".join(f"  {name}:\n" for name in NAMES))
    assert (
        run_module("check_jobmon.ctl", "config", "check", str(path)).stdout == f"{path}: {len(NAMES)} jobs, 0 hosts\n"
    )
    for database, session in sessions:
        options = database.options
        assert run_module("check_jobmon.ctl", "config", "apply", *options, str(path)).stderr == ""
        assert run_module("check_jobmon.ctl", "config", "diff", *options, str(path)).status == 0
        exported = run_module("check_jobmon.ctl", "config", "export", *options).stdout
        assert "!exact" not in exported
        query = "SELECT array_agg(c.job_name) FROM jobmon.job_check_config AS c JOIN jobmon.job_log USING (job_name)"
        assert set(value(session, query)) == {upper(session, name) for name in NAMES}
        said = value(session, "SELECT alert_text FROM jobmon.check_job_status()")
        assert "not upper case" not in said + database.check("-v").stdout + database.ctl("status").stdout
