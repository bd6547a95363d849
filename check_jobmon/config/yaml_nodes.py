"""YAML text as nodes that know their positions, within bounds. Knows YAML, not what the configuration means.

Parsed from PyYAML's events, so that nothing is ever constructed: no tag acts, no alias expands, nesting stays shallow.
"""

import errno
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

LIMIT = 2**20
"""Bytes that a file may have. One of 10000 jobs has less."""
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
    """What is wrong, and where. A warning hinders nothing."""

    position: Position
    text: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{'warning: ' if self.warning else ''}{self.text}"


@dataclass(frozen=True)
class Scalar:
    """A value, as it is written: a plain `NO` is the text NO."""

    position: Position
    text: str
    plain: bool = True
    exact: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is no value."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Pairs:
    """A mapping, its pairs in their order, nothing made of equal keys yet."""

    position: Position
    pairs: "tuple[tuple[Node, Node], ...]"


@dataclass(frozen=True)
class Items:
    """A sequence. The configuration has none, so its items are forgotten."""

    position: Position


@dataclass(frozen=True)
class Broken:
    """A node whose mistake is already known."""

    position: Position


Node: TypeAlias = Scalar | Pairs | Items | Broken


def read_bytes(path: str) -> bytes:
    """The file's bytes, those of standard input for `-`; at most one more than LIMIT. Raises OSError."""
    if path == "-":
        if sys.stdin is None:
            raise OSError(errno.EBADF, "standard input is closed")
        return sys.stdin.buffer.read(LIMIT + 1)
    with open(path, "rb") as file:
        return file.read(LIMIT + 1)


def compose(data: bytes) -> tuple[Node, list[Mistake]]:
    """The document's node, and what is wrong with it as YAML. An empty file is an empty mapping."""
    if len(data) > LIMIT:
        return Broken(Position()), [Mistake(Position(), f"the file is larger than {LIMIT} bytes, which is the limit")]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        return Broken(Position()), [Mistake(_position_after(before), "this is not UTF-8: save the file as UTF-8")]
    unprintable = _NOT_YAML.search(text)
    if unprintable:
        what = f"a control character, U+{ord(unprintable[0]):04X}: in a name, write it as an escape in double quotes"
        return Broken(Position()), [Mistake(_position_after(text[: unprintable.start()]), what)]
    if "\t" not in text:
        return _parse(text, {})
    # nobody knows what was meant by a tab in the indentation: try two guesses, so that other mistakes are said too
    for indent in (_eight_columns, _as_the_line_before):
        spaced, tabs, shifts = _without_tabs(text, indent)
        node, mistakes = _parse(spaced, shifts)
        if not isinstance(node, Broken):
            return node, tabs + mistakes
    return node, tabs or mistakes


def _parse(text: str, shifts: dict[int, int]) -> tuple[Node, list[Mistake]]:
    composer = _Composer(shifts)
    try:
        composer.run(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.MarkedYAMLError as error:
        return composer.mistake(composer.position(error.problem_mark), _explain(error)), composer.mistakes
    except (yaml.YAMLError, RecursionError) as error:
        return composer.mistake(Position(), f"this is no YAML: {error}"), composer.mistakes
    return composer.root or Broken(Position()), composer.mistakes


def _position_after(text: str) -> Position:
    return Position(text.count("\n") + 1, len(text) - text.rfind("\n"))


def _eight_columns(indent: str, before: str) -> str:
    return indent.expandtabs(8)


def _as_the_line_before(indent: str, before: str) -> str:
    return before[: len(before) - len(before.lstrip(" "))] + ("  " if before.rstrip().endswith(":") else "")


def _without_tabs(text: str, guess: Callable[[str, str], str]) -> tuple[str, list[Mistake], dict[int, int]]:
    """The text with spaces for tabs, a mistake for each line with tabs, and by how much its columns moved.

    Wherever the tabs are, because PyYAML and libyaml disagree on where one is allowed.
    """
    lines, mistakes, shifts, before = text.split("\n"), [], {}, ""
    for number, line in enumerate(lines, 1):
        rest = line.lstrip(" \t")
        content = bool(rest.strip()) and not rest.startswith("#")
        if "\t" in line:
            indent = line[: len(line) - len(rest)]
            spaced = (guess(indent, before) if "\t" in indent else indent) + rest.replace("\t", " ")
            shifts[number] = len(spaced) - len(line)
            lines[number - 1] = spaced
            if content:
                mistakes.append(Mistake(Position(number, line.index("\t") + 1), "a tab: YAML is indented with spaces"))
        if content:
            before = lines[number - 1]
    return "\n".join(lines), mistakes, shifts


def _explain(error: yaml.MarkedYAMLError) -> str:
    if "nesting depth" in str(error.problem):  # PyYAML's own limit, since 6.0.4
        return "nested too deep"
    text = f"this is no YAML: {error.problem}"
    if error.context:
        text += f" {error.context}"
        if error.context_mark:
            text += f" that starts in line {error.context_mark.line + 1}"
    return text


class _Composer:
    """Makes nodes of events, without recursion."""

    def __init__(self, shifts: dict[int, int]) -> None:
        self.shifts = shifts
        self.mistakes: list[Mistake] = []
        self.root: Node | None = None
        self.open: list[tuple[yaml.Event, list[Node]]] = []

    def position(self, mark: Any) -> Position:
        """Of a mark of PyYAML's, whose two parsers have a class of it each."""
        if mark is None:
            return Position()
        line = mark.line + 1
        return Position(line, max(1, mark.column + 1 - self.shifts.get(line, 0)))

    def mistake(self, position: Position, text: str) -> Broken:
        self.mistakes.append(Mistake(position, text))
        return Broken(position)

    def run(self, events: Iterable[yaml.Event]) -> None:
        self.root = Pairs(Position(), ())
        documents = 0
        for event in events:
            position = self.position(event.start_mark)
            if len(self.mistakes) >= MISTAKES:
                self.root = self.mistake(position, "too many mistakes to go on")
                return
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.mistake(position, "a second document: the configuration is one")
                    return
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(self.open) == DEPTH:
                    self.root = self.mistake(position, "nested too deep")
                    return
                if event.tag is not None:
                    self.mistake(position, f"the tag {event.tag}: no tags here")
                self.open.append((event, []))
            elif isinstance(event, yaml.AliasEvent):
                self._add(self.mistake(position, "an alias: write the value out, or use defaults"))
            elif isinstance(event, yaml.ScalarEvent):
                self._add(self._scalar(event, position))
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close()

    def _scalar(self, event: yaml.ScalarEvent, position: Position) -> Node:
        if event.tag not in (None, EXACT):
            return self.mistake(position, f"the tag {event.tag}: no tags here, but {EXACT} before a job's name")
        if _NO_TEXT.search(event.value):
            return self.mistake(position, "a character that no text can hold in PostgreSQL")
        return Scalar(position, event.value, not event.style, event.tag == EXACT)

    def _close(self) -> None:
        event, nodes = self.open.pop()
        position = self.position(event.start_mark)
        if isinstance(event, yaml.SequenceStartEvent):
            self._add(Items(position))
        else:
            self._add(Pairs(position, tuple(zip(nodes[::2], nodes[1::2], strict=True))))

    def _add(self, node: Node) -> None:
        if self.open:
            self.open[-1][1].append(node)
        else:
            self.root = node
