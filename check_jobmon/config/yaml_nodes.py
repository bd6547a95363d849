"""Parses YAML into nodes with their positions, and limits its size and nesting. Doesn't know what the nodes mean.

Made from PyYAML's events, so that no tag constructs an object, no alias is expanded, and nesting is bounded while reading.
"""

import errno
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from check_jobmon.config import ConfigFileError

LIMIT = 2**20
"""Bytes that a file may have. A file of 10,000 jobs has fewer."""
DEPTH = 6
"""Levels of nesting; the configuration has three."""
MISTAKES = 1000
"""Mistakes after which the rest of a file isn't looked at."""
EXACT = "!exact"
"""The one tag there is."""

_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # YAML 1.1, 4.1.1
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, order=True)
class Position:
    """Line and column, from 1, the column in characters."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True)
class Mistake:
    """A mistake and its position. A file that has only warnings is accepted."""

    position: Position
    text: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{'warning: ' if self.warning else ''}{self.text}"


@dataclass(frozen=True)
class Node:
    """A value as it is written: a plain `NO` is the text NO. `kind` is "text", "mapping", "list", or "broken" for a value
    whose mistake is known already. `pairs` are a mapping's, in their order, equal keys too; a list's items are forgotten.
    """

    position: Position
    kind: str
    text: str = ""
    plain: bool = True
    exact: bool = False
    pairs: "tuple[tuple[Node, Node], ...]" = ()

    @property
    def empty(self) -> bool:
        """Whether the value is left out, or is `~` or `null` without quotes."""
        return self.kind == "text" and self.plain and self.text in ("", "~", "null", "Null", "NULL")


class _OutOfBounds(Exception):
    """Nothing more of the file is read. Its argument is the broken node that stands for the whole."""


def read_bytes(path: str) -> bytes:
    """The file's bytes, of standard input for `-`; at most one more than LIMIT. Raises ConfigFileError."""
    try:
        if path != "-":
            with open(path, "rb") as file:
                return file.read(LIMIT + 1)
        if sys.stdin is None:
            raise OSError(errno.EBADF, "standard input is closed")
        return sys.stdin.buffer.read(LIMIT + 1)
    except OSError as error:
        hint = ", give the configuration file itself" if error.errno == errno.EISDIR else ""
        raise ConfigFileError(f"{path} can't be read: {error.strerror}{hint}") from None


def compose(data: bytes) -> tuple[Node, list[Mistake]]:
    """The document's node, and what is wrong with it as YAML. An empty file is an empty mapping."""
    if len(data) > LIMIT:
        return _unreadable("", f"the file is larger than {LIMIT} bytes, which is the limit")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        return _unreadable(before, "this is not UTF-8: save the file as UTF-8")
    if unprintable := _NOT_YAML.search(text):
        what = f"a control character, U+{ord(unprintable[0]):04X}: in a name, write it as an escape in double quotes"
        return _unreadable(text[: unprintable.start()], what)
    if "\t" not in text:
        return _parse(text, {})
    # expands the tabs to different widths, so that the other mistakes in the file are reported in the same run
    for width in (8, 4, 2):
        spaced, tabs, shifts = _without_tabs(text, width)
        node, mistakes = _parse(spaced, shifts)
        if node.kind != "broken":
            return node, tabs + mistakes
    return node, tabs or mistakes


def _parse(text: str, shifts: dict[int, int]) -> tuple[Node, list[Mistake]]:
    reader = _EventReader(shifts)
    try:
        events = reader.bounded(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        root = reader.node(events) or Node(Position(), "mapping")
        for _ in events:
            pass
    except _OutOfBounds as refused:
        (root,) = refused.args
    except yaml.MarkedYAMLError as error:
        root = reader.mistake(reader.position(error.problem_mark), _explain(error))
    except (yaml.YAMLError, RecursionError) as error:
        root = reader.mistake(Position(), f"this is not YAML: {error}")
    return root, reader.mistakes


def _unreadable(before: str, text: str) -> tuple[Node, list[Mistake]]:
    """A mistake after which nothing can be read; `before` is the file's text up to there."""
    position = Position(before.count("\n") + 1, len(before) - before.rfind("\n"))
    return Node(position, "broken"), [Mistake(position, text)]


def _without_tabs(text: str, width: int) -> tuple[str, list[Mistake], dict[int, int]]:
    """The text with spaces for tabs, a mistake for each line with tabs, and by how much its columns moved.

    For tabs anywhere in a line, because PyYAML and libyaml disagree on where one is allowed.
    """
    lines, mistakes, shifts = text.split("\n"), [], {}
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            rest = line.lstrip(" \t")
            indent = line[: len(line) - len(rest)]
            lines[number - 1] = indent.expandtabs(width) + rest.replace("\t", " ")
            shifts[number] = len(lines[number - 1]) - len(line)
            if rest.strip() and not rest.startswith("#"):
                mistakes.append(Mistake(Position(number, line.index("\t") + 1), "a tab: YAML is indented with spaces"))
    return "\n".join(lines), mistakes, shifts


def _explain(error: yaml.MarkedYAMLError) -> str:
    if "nesting depth" in str(error.problem):  # PyYAML's own limit, since 6.0.4
        return "nested too deep"
    text = f"this is not YAML: {error.problem}"
    if error.context:
        text += f" {error.context}"
        if error.context_mark:
            text += f" that starts in line {error.context_mark.line + 1}"
    if "an alias" in str(error.context) or "cannot start any token" in str(error.problem):
        text += ": put a text that begins with such a character, as a schedule may, into double quotes"
    return text


class _EventReader:
    """Makes nodes of PyYAML's events, and gathers the mistakes."""

    def __init__(self, shifts: dict[int, int]) -> None:
        self.shifts = shifts
        self.mistakes: list[Mistake] = []

    def position(self, mark: Any) -> Position:
        """The position that a mark stands for. Each of PyYAML's two parsers has a class of its own for marks."""
        if mark is None:
            return Position()
        line = mark.line + 1
        return Position(line, max(1, mark.column + 1 - self.shifts.get(line, 0)))

    def mistake(self, position: Position, text: str) -> Node:
        self.mistakes.append(Mistake(position, text))
        return Node(position, "broken")

    def bounded(self, events: Iterable[yaml.Event]) -> Iterator[yaml.Event]:
        """The events of values, as long as the file keeps within the bounds. Raises _OutOfBounds."""
        depth = documents = 0
        for event in events:
            if len(self.mistakes) >= MISTAKES:
                raise _OutOfBounds(self.mistake(self.position(event.start_mark), "too many mistakes to go on"))
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.mistake(self.position(event.start_mark), "a second document: the configuration is one")
                    return
            elif isinstance(event, yaml.CollectionStartEvent):
                if depth == DEPTH:
                    raise _OutOfBounds(self.mistake(self.position(event.start_mark), "nested too deep"))
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
                yield event

    def node(self, events: Iterator[yaml.Event]) -> Node | None:
        """The next value, None at the end of a collection or of the file. Recursive, and not deeper than DEPTH."""
        event = next(events, None)
        if event is None or isinstance(event, yaml.CollectionEndEvent):
            return None
        position = self.position(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self.mistake(position, "an alias: write the value out, or use defaults")
        if isinstance(event, yaml.ScalarEvent):
            if event.tag not in (None, EXACT):
                return self.mistake(position, f"the tag {event.tag}: no tags here, but {EXACT} before a job's name")
            if _NO_TEXT.search(event.value):
                return self.mistake(position, "a character that no text can hold in PostgreSQL")
            return Node(position, "text", event.value, not event.style, event.tag == EXACT)
        if isinstance(event, yaml.CollectionStartEvent) and event.tag is not None:
            self.mistake(position, f"the tag {event.tag}: no tags here")
        nodes = [*iter(lambda: self.node(events), None)]
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(position, "list")
        return Node(position, "mapping", pairs=tuple(zip(nodes[::2], nodes[1::2], strict=True)))
