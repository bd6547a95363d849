"""A strict reader of plugin output, written from the Monitoring Plugins Development Guidelines alone.

Knows nothing of check_jobmon. Whatever departs from the guidelines is an AssertionError that says where.
Source: "Plugin Output for Nagios", "Performance data" and "Threshold and Ranges" of the guidelines.
"""

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
"""The guidelines' class [-0-9.], as far as it makes one number."""
ITEM = re.compile(r"(?:'(?P<quoted>[^']*)'|(?P<bare>[^ '=]+))=(?P<fields>[^ ]*)(?: |$)")
"""A label, in single quotes if it has blanks, and what follows it; one blank between items. A quote in a label would be
doubled; with the equals sign it is the one character that the guidelines forbid there."""
UNITS = {"", "s", "us", "ms", "%", "B", "KB", "MB", "GB", "TB", "c"}


@dataclass(frozen=True)
class Figure:
    """One item of performance data: 'label'=value[UOM];[warn];[crit];[min];[max]. A value of None is the `U`."""

    label: str
    value: Decimal | None
    unit: str
    warn: str
    crit: str
    minimum: Decimal | None
    maximum: Decimal | None


@dataclass(frozen=True)
class Parsed:
    """Plugin output, taken apart."""

    text: str
    figures: list[Figure]
    long_output: list[str]

    @property
    def values(self) -> dict[str, Decimal | None]:
        """The figures' values by label."""
        return {figure.label: figure.value for figure in self.figures}


def parse(output: str | bytes) -> Parsed:
    """The whole output: a first line of text, `|`, performance data; then lines of text without more of either."""
    text = output.decode("utf-8", "strict") if isinstance(output, bytes) else output
    assert text.endswith("\n"), f"no newline at the end: {text[-80:]!r}"
    lines = text[:-1].split("\n")
    for line in lines:
        harmless(line)
    assert all("|" not in line for line in lines[1:]), "a | in the long output would start performance data"
    assert all(line.strip() for line in lines), "an empty line"
    first, bar, performance = lines[0].partition("|")
    assert "|" not in performance, "more than one | in the first line"
    assert first.strip(), "no text before the performance data"
    figures = figures_of(performance) if bar else []
    return Parsed(first.rstrip(" "), figures, lines[1:])


def harmless(line: str) -> None:
    """Nothing that acts on a terminal or hides: no control, format, surrogate, private or separator characters."""
    for character in line:
        category = unicodedata.category(character)
        assert category[0] != "C", f"{category} character {character!r} in {line[:80]!r}"
        assert category not in ("Zl", "Zp"), f"{category} character {character!r} in {line[:80]!r}"


def figures_of(performance: str) -> list[Figure]:
    """Space separated items, each of which obeys the grammar; no label twice."""
    text = performance.strip(" ")
    figures = []
    position = 0
    while position < len(text):
        item = ITEM.match(text, position)
        assert item, f"no 'label'=value at {text[position : position + 80]!r}"
        figures.append(_figure(item["quoted"] if item["bare"] is None else item["bare"], item["fields"]))
        position = item.end()
    labels = [figure.label for figure in figures]
    assert len(set(labels)) == len(labels), f"labels twice: {sorted(x for x in labels if labels.count(x) > 1)[:5]}"
    return figures


def _figure(label: str, fields: str) -> Figure:
    assert label, "an empty label"
    assert label.strip() == label, f"blanks around label {label!r}"
    assert not re.search("[=;|]", label), f"label {label!r} has a character that it may not have"
    value, *limits = fields.split(";")
    assert len(limits) <= 4, f"{label!r} has {len(limits)} fields after its value"
    warn, crit, low, high = [*limits, *[""] * (4 - len(limits))]
    number, unit = _value(label, value)
    for limit in (warn, crit):
        _range(label, limit)
    minimum, maximum = (_bound(label, text) for text in (low, high))
    if number is not None and minimum is not None:
        assert number >= minimum, f"{label!r} is below its minimum"
    return Figure(label, number, unit, warn, crit, minimum, maximum)


def _value(label: str, text: str) -> tuple[Decimal | None, str]:
    if text == "U":
        return None, ""
    found = NUMBER.match(text)
    assert found, f"{label!r} has the value {text!r}"
    unit = text[found.end() :]
    assert unit in UNITS, f"{label!r} has the unit {unit!r}"
    return Decimal(found[0]), unit


def _bound(label: str, text: str) -> Decimal | None:
    assert not text or NUMBER.fullmatch(text), f"{label!r} has the bound {text!r}"
    return Decimal(text) if text else None


def _range(label: str, text: str) -> None:
    """[@]start:end, where start is 0 if it and its colon are left out, and ~ is minus infinity; start <= end."""
    if not text:
        return
    start, colon, end = text.removeprefix("@").rpartition(":")
    if not colon:
        start = "0"
    assert start == "~" or NUMBER.fullmatch(start), f"{label!r} has the range {text!r}"
    assert not end or NUMBER.fullmatch(end), f"{label!r} has the range {text!r}"
    if start != "~" and end:
        assert Decimal(start) <= Decimal(end), f"{label!r} has a range that starts after its end: {text!r}"
