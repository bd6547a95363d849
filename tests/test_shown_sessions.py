"""The shell sessions in the guides print what is shown there: they are run in databases in the state that each page is about.

The sessions of docs/tutorial.rst and docs/questions.rst, test_tutorial.py and system/test_questions.py run.
"""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo.server import Server, wheel_binaries
from tests.database import Database
from tests.test_code_blocks import blocks
from tests.test_readme import DOCS
from tests.test_readme import PAGES as ALL_PAGES
from tests.test_tutorial import examples

VARYING = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?( [A-Z]{3,4}\b)?", "TIME"),
    (r"\((UTC|\w+/\w+)\)", "(ZONE)"),
    (r"\b(\d+(\.\d+)?(ms|s|m|h|d) ?)+(?![\w'])", "DURATION "),
    (r"[.#x]{16,}$|[.#]{20}", "BAR"),
    (r"\d+", "N"),
    (r"\s+", " "),
)
"""What is different in each run, and what stands for it."""
NIGHT = """
CREATE ROLE etl_owner;
GRANT jobmon_log TO etl_owner;
INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity)
     VALUES ('NIGHTLY ETL', '2 days', '3 days', true, 0), ('CUBE', '24 hours', '3 days', true, 0),
            ('STOCK SYNC', '1 day', '2 days', true, 3);
INSERT INTO jobmon.job_log (job_id, owner, job_name, start_time, end_time, status, pid)
     VALUES (7982, 'etl_owner', 'NIGHTLY ETL', now() - interval '4 d 13 h', now() - interval '4 d 12:14', 'OK', 24801),
            (7983, 'etl_owner', 'NIGHTLY ETL', now() - interval '3 d 13 h', now() - interval '3 d 12:17', 'OK', 24805),
            (7984, 'etl_owner', 'NIGHTLY ETL', now() - interval '2 d 13 h', now() - interval '2 d 12:16', 'OK', 24810),
            (7985, 'etl_owner', 'CUBE', now() - interval '26:15', now() - interval '26 h', 'OK', 24815),
            (7986, 'etl_owner', 'NIGHTLY ETL', now() - interval '1 d 13 h', now() - interval '1 d 12:35', 'CRITICAL', 24820),
            (7987, 'etl_owner', 'NIGHTLY ETL', now() - interval '13 h', now() - interval '12:27', 'CRITICAL', 24825),
            (7988, 'etl_owner', 'STOCK SYNC', now() - interval '1 h', now() - interval '00:59:19', 'OK', 24829),
            (7989, 'etl_owner', 'OLD IMPORT', now() - interval '20 d 2 s', now() - interval '20 d', 'CRITICAL', 24835);
INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, elapsed_time, status, message)
     VALUES (7986, 'load facts', now() - interval '1 d 13 h', now() - interval '1 d 12:35', 1500, 'CRITICAL', 'lock timeout'),
            (7987, 'extract orders', now() - interval '13 h', now() - interval '12:52:14', 466, 'OK', '42117 rows'),
            (7987, 'load facts', now() - interval '12:52:14', now() - interval '12:27', 1514, 'CRITICAL', 'deadlock detected'),
            (7989, 'read file', now() - interval '20 d 2 s', now() - interval '20 d', 2, 'CRITICAL',
             '/srv/import/2019.csv: No such file');
ALTER TABLE jobmon.job_log ALTER job_id RESTART WITH 7990;
"""
UNDER_WAY = """
SET ROLE etl_owner;
SELECT jobmon.add_step(jobmon.add_job('warehouse load'), 'Running sql: ''INSERT INTO facts SELECT pg_sleep(600)::text::int''')
"""
IN_GIT = """
INSERT INTO jobmon.job_check_config VALUES ('NIGHTLY ETL', '25 hours', '2 days', true, 0), ('PURGE', '8 days', '9 days', true, 0);
SELECT jobmon.sql_job(name, 'SELECT 1') FROM unnest('{nightly etl,purge,cube refresh}'::text[]) AS name;
"""
SILENCED = """
INSERT INTO jobmon.job_check_config
     SELECT 'NIGHTLY ' || name, '1 day', '2 days', true, 0 FROM unnest('{LOAD,DUMP,PURGE}'::text[]) AS name;
ALTER TABLE jobmon.job_silence ALTER silence_id RESTART WITH 7;
"""
FLEET = """
INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity)
     SELECT name, '24 hours', '3 days', true, 0 FROM unnest('{NIGHTLY ETL,CUBE,STOCK SYNC,OLD IMPORT}'::text[]) AS name;
INSERT INTO jobmon.job_log (job_id, owner, job_name, start_time, end_time, status, pid)
     SELECT row_number() OVER (), 'etl_owner', job_name, now() - interval '12:33', now() - interval '12 h', 'OK', 1
       FROM jobmon.job_check_config;
"""
TARGETS = {
    "etl": """
UPDATE jobmon.job_log SET status = 'CRITICAL' WHERE job_name = 'NIGHTLY ETL';
INSERT INTO jobmon.job_log (job_id, owner, job_name, start_time, end_time, status, pid)
     VALUES (7, 'etl_owner', 'NIGHTLY ETL', now() - interval '12:33', now() - interval '12 h', 'CRITICAL', 1);
INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, elapsed_time, status, message)
     VALUES (7, 'load facts', now() - interval '12:33', now() - interval '12 h', 1980, 'CRITICAL', 'deadlock detected');
""",
    "dw": """
UPDATE jobmon.job_log SET start_time = now() - interval '26:15', end_time = now() - interval '26 h' WHERE job_name = 'CUBE';
""",
    "new": "DROP SCHEMA jobmon CASCADE",
    "crm": "",
}
"""Targets of the page on many databases, after FLEET, each a database."""
PAGES = {
    "guides/at-three-in-the-morning.rst": (NIGHT, UNDER_WAY),
    "guides/jobs-in-git.rst": (IN_GIT, ""),
    "guides/large-logs.rst": ("", ""),
    "guides/shell-jobs.rst": ("", ""),
    "reference/configuration-file.rst": ("", ""),
    "calendar.rst": (SILENCED, ""),
}
"""The pages whose sessions are run here, with what is done before in their database, and what a session does that stays open."""
NOT_RUN = {
    "jobmonctl clear -d etl -y": "what it drops depends on the date: tests/schema/test_partitions.py",
    "check_jobmon --targets /etc/check_jobmon.yml -t 50 --submit": "it takes Nagios: tests/system/test_passive_nagios.py",
    "jobmonctl config suggest": "it takes a year of runs: tests/config/test_suggestion.py",
    "jobmonctl silence -d etl '*' --from": "for a day that may be over",
}
"""Commands that aren't run, by how they begin, and why. Nor are those that ask: tests/ctl has them, on a terminal."""


ELSEWHERE = {
    "../README.rst": "the demo's first lines, which .ci/run looks at",
    "index.rst": "as in the README",
    "tutorial.rst": "test_tutorial.py",
    "questions.rst": "system/test_questions.py",
    "guides/coming-from-pg_jobmon.rst": "with tables of pg_jobmon's: judging/test_pg_jobmon.py, ctl/test_migrate.py",
    "guides/pg_partman-mimeo.rst": "with pg_partman: system/test_partman.py",
}
"""Other pages that have sessions, and what runs them."""


@pytest.fixture
def etl(server: Server, template: str) -> Iterator[Database]:
    """A bootstrapped database of the name that the pages use."""
    with Database(server, "postgres").connect() as session:
        session.execute(f"CREATE DATABASE etl TEMPLATE {template}".encode())
        try:
            yield Database(server, "etl")
        finally:
            session.execute("DROP DATABASE etl WITH (FORCE)")
            session.execute("DROP ROLE IF EXISTS etl_owner")


@pytest.fixture
def targets(server: Server, template: str, tmp_path: Path) -> Iterator[Path]:
    """The file that names the targets."""
    with Database(server, "postgres").connect() as session:
        for name in TARGETS:
            session.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
            with Database(server, name).connect() as target:
                target.execute(FLEET.encode())
                target.execute(TARGETS[name].encode())
        file = tmp_path / "check_jobmon.yml"
        file.write_text(
            "hosts:\n" + "".join(f"  {name}: {{host: {server.folder}, dbname: {name}}}\n" for name in TARGETS)
        )
        yield file
        for name in TARGETS:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def alike(line: str) -> str:
    """The line without what is different in each run."""
    for pattern, word in VARYING:
        line = re.sub(pattern, word, line)
    return line.strip()


def is_as_shown(line: str, shown: str) -> bool:
    """Whether a line is the one that is shown, in which dots stand for any text."""
    parts = [re.escape(alike(part)) for part in re.split(r"\.\.\.(?:$|(?= ))", shown)]
    return re.fullmatch(r".*".join(parts), alike(line)) is not None


def run(command: str, server: Server, folder: Path) -> tuple[int, list[str]]:
    """The exit status of a command of the superuser's, whose home is the folder, and what it prints."""
    programs = [os.path.dirname(sys.executable), str(wheel_binaries()), os.environ["PATH"]]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
        **{"PATH": os.pathsep.join(programs), "LC_ALL": "C.UTF-8", "HOME": str(folder), "XDG_STATE_HOME": str(folder)},
        **{"PGHOST": str(server.folder), "PGPORT": str(server.port), "PGUSER": "postgres", "PGTZ": "UTC"},
    }
    done = subprocess.run(
        ["bash", "-c", command.replace("-H db.example.com ", "")],
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},  # type: ignore[call-overload]
        text=True,
        cwd=folder,
        env=environment,
        timeout=120,
        check=False,
    )
    return done.returncode, [line for line in done.stdout.replace(f"{folder}/.config/", "").splitlines() if line]


@pytest.mark.parametrize("page", PAGES)
def test_the_sessions_of_a_page_print_what_it_shows(page: str, etl: Database, tmp_path: Path) -> None:
    before, meanwhile = PAGES[page]
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "check_jobmon.yml").write_text("hosts:\n  db: {host: db.example.com, password: secret}\n")
    with contextlib.ExitStack() as cleanup:
        session: psycopg.Connection = cleanup.enter_context(etl.connect())
        session.execute(before.encode())
        cleanup.enter_context(etl.connect()).execute(meanwhile.encode())
        compare(page, etl.server, tmp_path)


def test_the_sessions_with_many_databases_print_what_is_shown(server: Server, targets: Path) -> None:
    compare("guides/many-databases.rst", server, targets.parent)


def compare(page: str, server: Server, folder: Path) -> None:
    """Run the commands of a page, and compare what they print with what it shows. Nothing shown: the exit status is 0."""
    files = iter(["jobs.yml", "wrong.yml"] if page == "guides/jobs-in-git.rst" else [])
    commands = []
    for language, text in blocks(DOCS / page):
        if language == "yaml" and (name := next(files, None)):
            (folder / name).write_text(text)
        if language != "console":
            continue
        for command, shown in examples("\n".join(f"    {line}" for line in text.splitlines())):
            if command.startswith(tuple(NOT_RUN)) or any("[y/N]" in line for line in shown):
                continue
            commands.append(command)
            status, printed = run(
                command.replace("/etc/check_jobmon.yml", f"{folder}/check_jobmon.yml"), server, folder
            )
            expected = [line for line in shown if line.strip()]
            assert status == 0 or expected, (command, printed)
            assert not expected or len(printed) == len(expected), (command, printed)
            for line, wanted in zip(printed, expected, strict=False):
                assert is_as_shown(line, wanted), f"change {page}: {command}:\n{printed}"
    assert commands


def test_the_sessions_of_every_page_are_run_here_or_elsewhere() -> None:
    pages = {os.path.relpath(page, DOCS) for page in ALL_PAGES if any(name == "console" for name, _ in blocks(page))}
    assert pages == {*PAGES, *ELSEWHERE, "guides/many-databases.rst"}
