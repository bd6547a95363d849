"""README.rst and docs/: what they say of the programs, the schema and the files is so, and they are well-formed."""

import ast
import asyncio
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import docutils.core
import docutils.nodes
import psycopg
import pytest

import check_jobmon
from tests.database import Database, run_module, value

ROOT = Path(__file__).parent.parent
README = ROOT / "README.rst"
DOCS = ROOT / "docs"
PAGES = [README, ROOT / "CHANGELOG.rst", ROOT / "CONTRIBUTING.rst", *sorted(DOCS.rglob("*.rst"))]
OUTPUT = re.compile("    (JOBMON|CRITICAL|WARNING|OK|UNKNOWN|!!|installed version|schema .jobmon. of database) ")
"""The lines that may be long: what a program prints in one line."""
PATH = re.compile(r"(?<![\w./-])(?:check_jobmon|tests|contrib|docs|\.ci)/[\w./-]*\w")
"""The name of a file or folder of this repository."""


def text(page: str | Path) -> str:
    """A page by its path below docs/."""
    return (DOCS / page).read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    """The page, for a test's name."""
    return str(page.relative_to(ROOT))


def parsed(page: Path) -> docutils.nodes.document:
    """The page as docutils reads it; raises an exception where docutils would print a warning."""
    settings = {"report_level": 2, "halt_level": 2, "syntax_highlight": "none", "file_insertion_enabled": False}
    return docutils.core.publish_doctree(
        page.read_text(encoding="utf-8"), source_path=str(page), settings_overrides=settings
    )


def literal_blocks(page: Path) -> list[str]:
    """The page's literal blocks and code blocks, in their order."""
    return [block.astext() for block in parsed(page).findall(docutils.nodes.literal_block)]


def texts_of_the_code() -> list[str]:
    """All texts in the package's Python and SQL."""
    package = Path(check_jobmon.__file__).parent
    constants = [
        node.value
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return [*constants, *(file.read_text(encoding="utf-8").replace("''", "'") for file in package.rglob("*.sql"))]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_fit_the_width_of_the_code(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 140 and not OUTPUT.match(line)] == []
    assert [line for line in lines if line != line.rstrip()] == []


def test_the_readme_is_short_and_has_its_two_commands_on_the_first_screen() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 200
    first_screen = "\n".join(lines[:24])
    for extra, program in (("demo", "jobmonctl demo"), ("test", "pytest")):
        command = f"python3 -m venv .venv && .venv/bin/pip install -q '.[{extra}]' && .venv/bin/{program}\n"
        assert f"\n    {command}" in first_screen


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_is_well_formed_and_its_links_lead_somewhere(page: Path) -> None:
    for reference in parsed(page).findall(docutils.nodes.reference):
        target = reference.get("refuri", "")
        if not re.match("[a-z]+:", target):
            assert target == "" or (page.parent / target.partition("#")[0]).exists(), reference.rawsource


def test_every_page_is_linked_from_the_index() -> None:
    index = DOCS / "index.rst"
    linked = {reference.get("refuri", "") for reference in parsed(index).findall(docutils.nodes.reference)}
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.rst")} - {"index.rst"}
    assert pages <= linked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    paths = PATH.findall(page.read_text(encoding="utf-8"))
    assert [path for path in paths if not (ROOT / path).exists()] == []
    if page.name == "architecture.rst":
        assert len(paths) > 50


def test_jobmonctl_s_commands_are_all_in_the_reference() -> None:
    help_text = run_module("check_jobmon.ctl", "--help", COLUMNS="80").stdout
    names = re.findall(r"^    ([a-z]+) ", help_text, re.MULTILINE)
    assert len(names) > 10
    page = text("reference/jobmonctl.rst")
    assert [name for name in names if not re.search(rf"^``{name}\b", page, re.MULTILINE)] == []


def test_the_plpgsql_block_runs(database: Database, session: psycopg.Connection) -> None:
    (block,) = [block for block in literal_blocks(DOCS / "guides/sql-jobs.rst") if block.startswith("v_job :=")]
    session.execute("CREATE TABLE staging (id integer); CREATE TABLE facts (id integer)")
    session.execute(f"DO $$ DECLARE v_job bigint; BEGIN {block} END $$".encode())
    assert value(session, "SELECT status FROM jobmon.job_log") == "OK"
    session.execute("DROP TABLE staging")
    session.execute(f"DO $$ DECLARE v_job bigint; BEGIN {block} END $$".encode())
    assert value(session, "SELECT string_agg(status, ' ' ORDER BY job_id) FROM jobmon.job_log") == "OK CRITICAL"


def test_the_python_block_logs_what_the_page_shows(database: Database, session: psycopg.Connection) -> None:
    page = DOCS / "guides/python-jobs.rst"
    code, *_ = literal_blocks(page)
    conninfo = psycopg.conninfo.make_conninfo(**database.parameters)
    with pytest.raises(LookupError, match="no such cube: SALES"):
        exec(code.replace('"dbname=etl"', repr(conninfo)), {})
    for row in session.execute("SELECT action, status, message FROM jobmon.job_detail ORDER BY step_id"):
        assert " | ".join(row) in re.sub(" +", " ", page.read_text(encoding="utf-8"))
    session.execute(
        "INSERT INTO jobmon.job_check_config VALUES ('NIGHTLY ETL', '1 day', '2 days', true, 0, '-infinity')"
    )
    line = re.sub(r"on \S+, pid \d+", "on db7, pid 4711", database.check().first_line)
    assert f"    {line}\n" in page.read_text(encoding="utf-8")


def test_the_mistakes_in_a_configuration_file_are_reported_as_the_page_shows(tmp_path: Path) -> None:
    *_, content, shown = literal_blocks(DOCS / "guides/jobs-in-git.rst")
    (tmp_path / "wrong.yml").write_text(content)
    output = run_module("check_jobmon.ctl", "config", "check", os.fspath(tmp_path / "wrong.yml"))
    assert output.status == 1
    assert f"$ jobmonctl config check wrong.yml\n{output.stderr.strip()}".replace(f"{tmp_path}/", "") == shown


def test_the_crontab_is_the_one_in_contrib() -> None:
    (crontab,) = [block for block in literal_blocks(DOCS / "guides/installing.rst") if "postgres   jobmonctl" in block]
    assert f"\n{crontab}\n" in (ROOT / "contrib/cron/check_jobmon").read_text(encoding="utf-8")


def test_messages_that_are_explained_are_those_of_the_code() -> None:
    code = texts_of_the_code()
    messages = re.findall("^``.*``$", text("reference/messages.rst"), re.MULTILINE)
    assert len(messages) > 15
    for message in re.findall("``(.*?)``", "\n".join(messages)):
        # what is filled in stands between these; fe_sendauth is libpq's own word
        for part in re.split(r'"?\.\.\."?|\d+s while|"jobmon"|"public"|fe_sendauth: |\b160\b', message):
            assert any(part.strip(' ,"') in literal for literal in code), f"{message}: {part}"


def test_the_other_python_blocks_log_runs_too(database: Database, session: psycopg.Connection) -> None:
    _, *blocks = [block for block in literal_blocks(DOCS / "guides/python-jobs.rst") if "check_jobmon." in block]
    conninfo = psycopg.conninfo.make_conninfo(**database.parameters)
    for block in blocks:
        names: dict[str, Any] = {"check_jobmon": check_jobmon, "asyncio": asyncio}
        if block.startswith("async"):
            block = f"async def load_facts(day):\n{textwrap.indent(block, '    ')}"
        exec(block.replace('"dbname=etl"', repr(conninfo)), names)
        done = names["load_facts"]("2024-01-01")
        if done is not None:
            asyncio.run(done)
    runs = session.execute("SELECT job_name, status FROM jobmon.job_log").fetchall()
    assert runs == [("NIGHTLY ETL", "OK")] * len(blocks)
    assert len(blocks) == 2
