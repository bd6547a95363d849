"""Every code block of README.rst and docs/ is checked, by the language that it is in. A block of an unknown language fails.

Shell commands are read by bash, those of this package by their own parsers; SQL is executed, or else parsed, by PostgreSQL;
configuration is read by the programs that it is for. Other tests run whole pages: test_tutorial.py, test_readme.py (Python jobs),
system/test_questions.py, test_debian_install.py, test_other_schedulers.py, test_central.py, test_partman.py.
"""

import argparse
import ast
import functools
import itertools
import json
import os
import re
import runpy
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import docutils.nodes
import psycopg
import pytest

from check_jobmon.ctl import dispatch
from check_jobmon.plugin import cli
from tests.database import Database, run_module, value
from tests.test_readme import DOCS, PAGES, name_of, parsed, texts_of_the_code

NOT_CHECKED = {
    "docs/architecture.rst: the monitoring server": "a picture",
    "docs/guides/jobs-in-git.rst: defaults: {warn: 25h, error: 2d, sensitivity: 0}\njobs:\n  NIGHTLY ETL: {wran": (
        "wrong on purpose; test_readme.py compares what is said of it"
    ),
}
"""Blocks, by how they begin, that nothing here checks, and why."""
ONLY_PARSED = {
    "docs/guides/large-logs.rst: DELETE FROM jobmon.partitioning": "tests/system/test_partman.py",
    "docs/guides/central-log.rst: INSERT INTO jobmon_central": "tests/system/test_central.py",
    "docs/guides/central-log.rst: CREATE SUBSCRIPTION web1": "tests/system/test_central.py",
    "docs/guides/central-log.rst: ALTER SUBSCRIPTION web1": "tests/system/test_central.py",
    "docs/guides/central-log.rst: DROP SUBSCRIPTION web1": "tests/system/test_central.py",
}
"""SQL that takes more than a bootstrapped database, and which test executes it."""
PREPARED = """
CREATE ROLE etl_owner; CREATE ROLE agent; CREATE ROLE partman; CREATE PROCEDURE load_facts() LANGUAGE sql AS '';
CREATE TABLE staging (id integer); CREATE TABLE facts (id integer);
"""
"""What the pages' SQL is about."""


class Here(NamedTuple):
    """What the checks of a page's blocks use: a transaction that is rolled back, its database, the page, a folder."""

    session: psycopg.Connection
    database: Database
    page: Path
    folder: Path


@functools.cache
def blocks(page: Path) -> list[tuple[str, str]]:
    """All code blocks of a page: their languages and texts."""
    language = runpy.run_path(os.fspath(DOCS / "languages.py"))["language"]
    found = []
    for block in parsed(page).findall(docutils.nodes.literal_block):
        named = [name for name in block.get("classes", []) if name != "code"]
        found.append((named[0] if named else language(block.astext()), block.astext()))
    return found


@functools.cache
def texts() -> list[str]:
    """Those of the code, which is read once."""
    return texts_of_the_code()


def in_language(page: Path, language: str) -> str:
    """The blocks of a page that are in a language, together."""
    return "\n".join(text for name, text in blocks(page) if name == language)


def simple_commands(script: str) -> Iterator[list[str]]:
    """The words of each simple command in a script, without redirections and here-documents."""
    script = re.sub(r"<<'?(\w+)'?\n.*?\n\1$", "", script, flags=re.DOTALL | re.MULTILINE)
    script = re.sub(r"(?m)(^|\s)#.*$", "", script.replace("\\\n", " "))
    lexer = shlex.shlex(script, posix=True, punctuation_chars=";|&<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    redirected = False
    for token in [*lexer, "\n"]:
        if redirected:
            redirected = False
        elif re.fullmatch("[<>&]*[<>][<>&]*", token):
            redirected = True
            words = words[:-1] if words[-1:] in (["1"], ["2"]) else words
        elif re.fullmatch("[;|&\n]+", token):
            if words:
                yield words
            words = []
        else:
            words.append(token)


def check_words(words: list[str], here: Here) -> None:
    """What is known of a command: our programs' options and arguments, psql's SQL, and the commands that others are given."""
    while words[0] in ("sudo", "time", "exec") or re.match(r"\w+=", words[0]):
        words = words[1:]
    program, *rest = os.path.basename(words[0]), *words[1:]
    end = rest.index("--") if "--" in rest else len(rest)
    if program == "check_jobmon":
        understood(cli.command_line().parse_args, rest)
    elif program == "jobmonctl":
        own = rest[:end] if rest[0] == "run" else rest
        understood(dispatch.command_line().parse_args, own, argparse.Namespace(argv=rest[end + 1 :]))
        if rest[end + 1 :]:
            check_words(rest[end + 1 :], here)
    for option, argument in itertools.pairwise(rest):
        if option == "-c" and program == "psql":
            check_syntax(argument, here)
        elif option == "-c" and program in ("su", "sh", "bash"):
            check_shell(argument, here)


def understood(parse: Callable[..., object], *arguments: object) -> None:
    """Fails the test if a parser doesn't take the arguments. What asks for help is all right."""
    try:
        parse(*arguments)
    except SystemExit as end:
        if end.code:
            pytest.fail(f"{arguments[0]}: not understood")


def check_shell(script: str, here: Here) -> None:
    """That bash can read it, and what is known of its commands."""
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = list(simple_commands(script))
    assert found
    for words in found:
        check_words(words, here)
    for _, document in re.findall(r"psql[^\n]*<<'?(\w+)'?\n(.*?)\n\1$", script, flags=re.DOTALL | re.MULTILINE):
        check_syntax(document, here)


def check_console(text: str, here: Here) -> None:
    check_shell("\n".join(re.findall(r"(?m)^\$ (.*)$", text)), here)


def check_syntax(sql: str, here: Here) -> None:
    """That PostgreSQL can parse it. PL/pgSQL parses every statement of a block, also one that isn't reached."""
    sql = re.sub(r"\s*\\g(exec|set)\b", ";", re.sub(r"(?<!:):(\w+)", "1", sql))
    for statement in re.split(r";\s*(?:\n|$)", sql):
        if statement.strip() and not statement.startswith("\\"):
            # a query's rows go nowhere
            statement = re.sub(r"\A\s*SELECT\b", "PERFORM", statement)
            here.session.execute(f"DO $check$ BEGIN IF false THEN\n{statement};\nEND IF; END $check$".encode())


def check_sql(text: str, here: Here) -> None:
    # in a table of results, what psql prints below the query
    here.session.execute(text.partition(";\n\n     ")[0].encode())


def check_plpgsql(text: str, here: Here) -> None:
    here.session.execute(f"DO $$ DECLARE v_job bigint; BEGIN {text} END $$".encode())


def check_python(text: str, here: Here) -> None:
    compile(text, str(here.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # test_readme.py runs them


def heads(output: str) -> list[list[str]]:
    """The columns of the tables in an output."""
    lines = re.findall(r"(?m)^STATE .*", output)
    return [re.split(r"\s{2,}", re.sub(r" \(.*?\)", "", line).strip()) for line in lines]


def check_output(text: str, here: Here) -> None:
    """That the plugin prints such a first line and such a table, or that the code has such a message.

    What psql prints, test_readme.py compares.
    """
    if re.match("JOBMON|STATE", text):
        printed = here.database.check("-v").stdout
        for line in (text.partition("\n")[0], printed.partition("\n")[0]):
            assert re.match(r"JOBMON (OK|WARNING|CRITICAL|UNKNOWN) - .+ \| (\w+=\S+ ?)+", line)
        assert heads(text) in ([], heads(printed))
    elif not text.startswith(" "):
        for part in re.split(r'"\w+"|\b\d[\d.]*', text):
            assert any(part.strip() in literal for literal in texts()), part


def check_yaml(text: str, here: Here) -> None:
    file = here.folder / "jobs.yml"
    file.write_text(text)
    output = run_module("check_jobmon.ctl", "config", "check", os.fspath(file))
    assert (output.status, output.stderr) == (0, "")


def check_cron(text: str, here: Here) -> None:
    for line in text.splitlines():
        if not line.startswith("#"):
            *times, command = line.split(None, 5)
            assert value(here.session, "SELECT jobmon.check_schedule(%s, 'UTC') IS NULL", " ".join(times))
            # a crontab of the system's names a user before the command
            check_shell(command if command.startswith("jobmonctl") else command.split(None, 1)[1], here)


def check_systemd(text: str, here: Here) -> None:
    """Their commands. That systemd takes them, tests/system/test_other_schedulers.py verifies, of that page's."""
    assert here.page.name == "other-schedulers.rst"
    for command in re.findall(r"(?m)^ExecStart=-?(.+)$", text):
        check_shell(command, here)


def check_settings(text: str, here: Here) -> None:
    """That this PostgreSQL has settings of these names, and that the values look like theirs."""
    for name, setting in re.findall(r"(?m)^(\w+) = (\S+)", text):
        kind = value(here.session, "SELECT vartype FROM pg_settings WHERE name = %s", name)
        assert re.fullmatch({"integer": r"\d+(kB|MB|GB|s|min)?", "enum": "[a-z]+"}[kind], setting), name


def check_json(text: str, here: Here) -> None:
    """That the plugin prints an object with these keys, and that the page describes all keys of what is in it."""
    printed = json.loads(here.database.check("--output", "json").stdout)
    assert list(json.loads(text.replace("RESULT, ...", ""))) == list(printed)
    described = set(re.findall(r"``(\w+)``", here.page.read_text(encoding="utf-8")))
    assert {*printed["results"][0], *printed["results"][0]["jobs"][0]} <= described


def check_by_a_daemon(text: str, here: Here) -> None:
    """Nothing. tests/system/test_nagios.py and test_icinga.py have the daemons read what is on this page."""
    assert here.page.name == "nagios-icinga.rst"


def check_pgpass(text: str, here: Here) -> None:
    assert all(len(line.split(":")) == 5 for line in text.splitlines())


CHECKS: dict[str, Callable[[str, Here], None]] = {
    **{
        "console": check_console,
        "sh": check_shell,
        "output": check_output,
        "cron": check_cron,
        "systemd": check_systemd,
    },
    **{"sql": check_sql, "plpgsql": check_plpgsql, "python": check_python, "yaml": check_yaml, "json": check_json},
    **{"postgresql.conf": check_settings, "pgpass": check_pgpass},
    **{"nagios": check_by_a_daemon, "icinga2": check_by_a_daemon},
}
"""What checks a block of each language."""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_code_blocks_of_a_page_are_right(page: Path, database: Database, tmp_path: Path) -> None:
    with database.connect() as session:
        session.execute("INSERT INTO jobmon.job_check_config VALUES ('JOB', '1 day', '2 days', true)")
    with database.connect(autocommit=False) as session:
        session.execute(PREPARED)
        here = Here(session, database, page, tmp_path)
        for language, text in blocks(page):
            listed = f"{name_of(page)}: {text}".startswith
            if listed(tuple(ONLY_PARSED)):
                check_syntax(text, here)
            elif not listed(tuple(NOT_CHECKED)):
                assert language in CHECKS, f"give this block a language that is checked here: {text}"
                CHECKS[language](text, here)
        session.rollback()


def test_the_lists_name_blocks_that_there_are() -> None:
    found = [f"{name_of(page)}: {text}" for page in PAGES for _, text in blocks(page)]
    assert len(found) > 100
    for name in [*NOT_CHECKED, *ONLY_PARSED]:
        assert [text for text in found if text.startswith(name)], name
