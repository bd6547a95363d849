"""Parts of the reference that are made from what they are about: the options from the parsers, functions and columns from the
schema's own comments, metrics from their help. In reStructuredText, for conf.py, which puts them into the pages.
"""

import argparse
import os
import re
import runpy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from check_jobmon.ctl import dispatch
from check_jobmon.plugin import cli
from check_jobmon.plugin.openmetrics import exposition
from check_jobmon.schema.scripts import UNCOUNTED
from check_jobmon.sql_files import fill

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "check_jobmon" / "schema"
MANUALS = runpy.run_path(os.fspath(ROOT / "contrib" / "manuals" / "make.py"))
"""The program that makes manuals of the same parsers."""
CONNECTION = "connection"
COMMENT = r"COMMENT ON {} @schema@\.{} IS\s+((?:'(?:[^']|'')*'\s*)+);"


def made(name: str, arguments: list[str]) -> str:
    """The part of this name."""
    return "".join(PARTS[name](*arguments)) + "\n"


def escaped(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def named(text: str) -> str:
    """A comment of SQL, with the names of functions and columns as such."""
    parts = re.split(r"((?<![\w.])[a-z]\w*(?:_\w+(?:\.\w+|\(\))?|\(\)))", text)
    return "".join(f"\\ ``{part}``\\ " if number % 2 else escaped(part) for number, part in enumerate(parts))


def indented(text: str) -> str:
    return re.sub(r"(?m)^(?=.)", "    ", text)


def prose(text: str, markup: Callable[[str], str] = escaped) -> Iterator[str]:
    """Paragraphs; what is indented stays as it is."""
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if re.search(r"(?m)^\s", paragraph):
            yield f"\n::\n\n{indented(paragraph)}\n"
        elif paragraph.strip():
            yield f"\n{markup(' '.join(paragraph.split()))}\n"


def plugin() -> Iterator[str]:
    """The options of check_jobmon."""
    yield from parser_page(cli.command_line())


def commands() -> Iterator[str]:
    """All commands of jobmonctl, each with its options. Those to connect with, which most have, once."""
    parsers = list(MANUALS["parsers"](dispatch.command_line(), "jobmonctl", ""))[1:]
    common = next(group for _, _, parser in parsers for group in parser._action_groups if group.title == CONNECTION)
    yield f"\n{CONNECTION.capitalize()}\n{'-' * len(CONNECTION)}\n"
    yield from prose(common.description or "")
    yield "\n.. program:: jobmonctl\n"
    yield from (entry for action in common._group_actions for entry in option(parsers[0][2], action))
    for name, _, parser in parsers:
        title = name.replace("-", " ")
        yield f"\n{title}\n{'-' * len(title)}\n"
        yield from parser_page(parser, short=CONNECTION)


def parser_page(parser: argparse.ArgumentParser, short: str = "") -> Iterator[str]:
    """What --help says. Of the group `short`, only the names of its options."""
    yield f"\n.. program:: {parser.prog}\n\n.. code-block:: text\n\n{indented(parser.format_usage())}\n"
    yield from prose(parser.description or "")
    for group, actions in MANUALS["shown"](parser):
        if group.title == short:
            names = ", ".join(f"``{action.option_strings[0]}``" for action in actions)
            yield f"\n.. rubric:: {short.capitalize()}\n\n{names}: see `above <#{short}>`__.\n"
        else:
            yield f"\n.. rubric:: {(group.title or '').removeprefix('positional ').capitalize()}\n"
            yield from prose(group.description or "")
            yield from (entry for action in actions for entry in option(parser, action))
    for title, text in MANUALS["sections"](parser.epilog or ""):
        yield f"\n.. rubric:: {title.capitalize()}\n"
        yield from [f"\n.. code-block:: sh\n\n{indented(text)}\n"] if title.startswith("example") else prose(text)


def option(parser: argparse.ArgumentParser, action: argparse.Action) -> Iterator[str]:
    """An option or an argument; of commands, the list."""
    if isinstance(action, argparse._SubParsersAction):
        for choice in action._choices_actions:
            yield f"\n``{parser.prog} {choice.dest}``\n    {escaped(choice.help or '')}\n"
        return
    options, value, text = MANUALS["named"](parser, action)
    names = [f"{name} {value}".rstrip() for name in options] or [value]
    yield f"\n.. option:: {', '.join(names)}\n\n    {escaped(text)}\n"


def texts(sql: str, kind: str, name: str) -> Iterator[re.Match[str]]:
    return re.finditer(COMMENT.format(kind, name), sql)


def unquoted(literals: str) -> str:
    """The text that some literals of SQL are together."""
    parts = re.findall(r"'((?:[^']|'')*)'", literals)
    return fill("".join(parts).replace("''", "'"), {"uncounted": str(UNCOUNTED)})


def functions(folder: str) -> Iterator[str]:
    """The functions and views of a folder that are meant to be used, each with its comment."""
    found: dict[str, list[tuple[str, str]]] = {}
    for file in sorted((SCHEMA / "functions" / folder).glob("*.sql")):
        sql = file.read_text(encoding="utf-8")
        for comment in re.finditer(COMMENT.format(r"(FUNCTION|VIEW)", r"(\w+)(\(.*?\))?"), sql):
            kind, name, types, literals = comment.groups()
            text = unquoted(literals)
            if not re.match("Internal|Trigger of", text):
                found.setdefault(name, []).append(
                    (f"VIEW {name}" if kind == "VIEW" else signature(sql, name, types), text)
                )
    for name, entries in sorted(found.items()):
        yield f"\n{escaped(name)}\n{'~' * len(name) * 2}\n"
        for head, text in entries:
            returns = dict(re.findall(r"(?m)^    (\w+) +(\w[\w ]*),?$", head))
            yield f"\n.. code-block:: postgres\n\n{indented(readable(head, bool(returns)))}\n"
            first, *lines = text.split("\n")
            meanings = dict(line.split(": ", 1) for line in lines if line.partition(": ")[0] in returns)
            yield from prose(
                "\n\n".join([first, *(line for line in lines if line.partition(": ")[0] not in returns)]), named
            )
            if returns:
                yield from table((column, kind, meanings[column]) for column, kind in returns.items())


def readable(head: str, table: bool) -> str:
    """A function's head in lines that are short, if it has many arguments. What a table has that it returns is said below."""
    if table:
        return head.partition("(")[0] + "() RETURNS TABLE (...)"
    line = " ".join(head.split()).replace("( ", "(").replace(" )", ")").replace("@schema@.", "")
    return line if len(line) < 76 else line.replace("(", "(\n    ", 1).replace(", ", ",\n    ").replace(") R", "\n) R")


def table(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Columns with their types and meanings."""
    yield "\n.. list-table::\n    :header-rows: 1\n    :widths: auto\n\n    * - column\n      - type\n      - meaning\n"
    for column, kind, meaning in rows:
        yield f"    * - ``{column}``\n      - {kind}\n      - {named(meaning)}\n"


def signature(sql: str, name: str, types: str) -> str:
    """The function as it is created, up to what it returns. The one of these types, if several have the name."""
    heads = re.findall(rf"CREATE OR REPLACE FUNCTION @schema@\.({name}\(.*?)\n?(?:LANGUAGE|AS)\b", sql, re.DOTALL)
    count = len(re.findall(r"\w+", types))
    (head,) = [head for head in heads if len(heads) == 1 or arguments(head) == count]
    return head


def arguments(head: str) -> int:
    """How many arguments a function has."""
    inside = re.search(r"\((.*?)\)", head, re.DOTALL)
    return len([part for part in (inside[1] if inside else "").split(",") if part.strip()])


def columns(*tables: str) -> Iterator[str]:
    """The columns of tables, with their types and comments."""
    sql = "\n".join(file.read_text(encoding="utf-8") for file in sorted((SCHEMA / "tables").glob("*.sql")))
    for name in tables:
        yield f"\n{escaped(name)}\n{'~' * len(name) * 2}\n"
        for comment in texts(sql, "TABLE", name):
            yield from prose(unquoted(comment[1]), named)
        yield from table(
            (column, kind, [unquoted(comment[1]) for comment in texts(sql, "COLUMN", f"{name}.{column}")][-1])
            for column, kind in columns_of(sql, name).items()
        )


def columns_of(sql: str, table: str) -> dict[str, str]:
    """The types of a table's columns, by their names, as the scripts make them."""
    (body,) = re.findall(rf"(?ms)^CREATE TABLE @schema@\.{table} \($(.*?)^\);", sql)
    lines = re.findall(r"(?m)^    ([a-z_]+) +([a-z]+)", body)
    for statement in re.findall(rf"ALTER TABLE @schema@\.{table}\b([^;]*);", sql):
        lines += re.findall(r"ADD COLUMN ([a-z_]+) ([a-z]+)", statement)
    return dict(lines)


def metrics() -> Iterator[str]:
    """The metrics for Prometheus."""
    yield "\n.. list-table::\n    :header-rows: 1\n    :widths: auto\n\n    * - metric\n      - value\n"
    for name, text in re.findall(r"(?m)^# HELP (\w+) (.*)", exposition([])):
        yield f"    * - ``{name}``\n      - {escaped(text)}\n"


def changelog() -> Iterator[str]:
    """CHANGELOG.rst without its title."""
    yield (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8").split("\n", 2)[2]


PARTS = {
    **{"changelog": changelog, "columns": columns, "commands": commands, "functions": functions, "metrics": metrics},
    "plugin": plugin,
}
