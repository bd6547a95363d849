"""The keys of a job in the configuration file: what each may be, and how it is written. Knows neither YAML files nor tables."""

import functools
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from check_jobmon.config.durations import Duration, NotADuration, parse
from check_jobmon.config.yaml_nodes import Node, Position
from check_jobmon.text import clean

_SMALLINT = 2**15 - 1
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_URL = r"""https?://[^\s\x00-\x1f\x7f-\x9f"<>|@/?#]+([/?#][^\s\x00-\x1f\x7f-\x9f"<>|]*)?"""
_LIMITS = (("warn", "error"), ("slow", "too_slow"), ("fast", "slow"), ("fast", "too_slow"))
_SLOW = re.compile(r"(?i)(?:(.*?[^x])(?:\s+or\s+|$))?(?:([0-9]{1,4}(?:\.[0-9]{1,9})?)\s*x)?")
USUAL = {"sensitivity": "0", "active": "true", "timezone": '"UTC"'}
"""What a job has that doesn't say otherwise, as values() writes it."""


class Slow(NamedTuple):
    """From when on a run is slow: after a time, after so many times the usual time, or after the shorter of both."""

    duration: Duration | None = None
    factor: float | None = None

    def __str__(self) -> str:
        """As the file has it.

        >>> str(Slow(parse("90m"), 2.5)), str(Slow(factor=1000.0)), str(Slow())
        ('1h 30m or 2.5x', '1000x', '')
        """
        factor = f"{self.factor:g}x" if self.factor else ""
        return " or ".join(filter(None, [str(self.duration or ""), factor]))


_NEVER_SLOW = Slow()


@dataclass(frozen=True)
class JobConfig:
    """One row of job_check_config. `name` and `after`, the job that has to run before, are spelled as in the table."""

    name: str
    warn: Duration
    error: Duration
    sensitivity: int = 0
    active: bool = True
    schedule: str | None = None
    timezone: str = "UTC"
    too_slow: Duration | None = None
    fast: Duration | None = None
    after: str | None = None
    escalate: int | None = None
    owner: str | None = None
    description: str | None = None
    runbook: str | None = None
    slow: Slow = _NEVER_SLOW
    position: Position = field(default=Position(), compare=False)

    def values(self) -> dict[str, str]:
        """The values by their keys, as the file has them, without those that the job lacks."""
        values = {key: getattr(self, key) for key in FIELDS}
        return {
            key: json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value).lower()
            for key, value in values.items()
            if value not in (None, _NEVER_SLOW) and (key, value) != ("timezone", "UTC")
        }


def crossed(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The pairs of keys of which the first has to be the shorter time, and is the longer one."""
    times = {key: value.duration if isinstance(value, Slow) else value for key, value in values.items()}
    for lower, higher in _LIMITS:
        low, high = times.get(lower), times.get(higher)
        if low and high and low.length > high.length:
            yield lower, higher


def wrong_dependencies(after: Mapping[str, str | None], own: Collection[str], where: str) -> Iterator[tuple[str, str]]:
    """Yields the name of each job whose predecessor is wrong, and what is wrong with it. A circle is reported once, for one job.

    `after` has the predecessor of each job, `own` the jobs to look at; `where` says in the message where the jobs are.
    """
    seen = set()
    for job in own:
        if (other := after[job]) is not None and other not in after:
            yield job, f"there is no job {in_quotes(other)} {where}"
        path: list[str] = []
        name = job
        while name in after and name not in seen:
            seen.add(name)
            path.append(name)
            name = after[name] or "\0"  # which no name has
        if name in path:
            circle = [*path[path.index(name) :], name]
            text = clean(" after ".join(f'"{one}"' for one in circle), 300)
            yield from [(one, f"a circle, in which no job waits: {text}") for one in circle if one in own][:1]


def in_quotes(text: str) -> str:
    """The beginning of a text as messages quote it."""
    return f'"{clean(text, 60)}"'


def _duration(node: Node) -> Duration:
    try:
        return parse("" if node.empty else node.text)
    except NotADuration as error:
        raise ValueError(f": {in_quotes(node.text)} {error}") from None


def _positive(node: Node) -> Duration | None:
    if _left_out(node):
        return None
    duration = _duration(node)
    if duration.length <= 0 or "infinity" in str(duration):
        raise ValueError(f": {in_quotes(node.text)} is not a time that a run can take: write, for example, 90m")
    return duration


def _schedule(node: Node) -> str | None:
    number = len(node.text.split())
    if _left_out(node) or number == 5 or node.text.strip().startswith("@"):
        return None if _left_out(node) else node.text
    fields = "five fields minute, hour, day of month, month and day of week (no seconds, no years)"
    raise ValueError(f" {in_quotes(node.text)} has {number} of the {fields}")


def _slow(node: Node) -> Slow:
    match = _SLOW.fullmatch("" if node.empty else node.text.strip())
    factor = float(f"{float(match[2]):.6g}") if match and match[2] else None
    if not match or (factor is not None and not 1 < factor <= 1000):
        what = "a time, more than once and at most 1000 times the usual time, or both: 1h, 3x, 1h or 3x"
        raise ValueError(f" is {what}, and this is {in_quotes(node.text)}")
    return Slow(_positive(Node(node.position, "text", match[1] or "")), factor)


def _failures(node: Node, least: int = 0) -> int | None:
    if least and _left_out(node):
        return None
    # a leading zero would be octal to other readers of YAML
    if node.plain and re.fullmatch(r"0|[1-9][0-9]{0,4}", node.text) and least <= int(node.text) <= _SMALLINT:
        return int(node.text)
    raise ValueError(f" is a number of failures, {least} to {_SMALLINT}, and this is {in_quotes(node.text)}")


def _truth(node: Node) -> bool:
    if node.plain and node.text.lower() in _TRUTH:
        return _TRUTH[node.text.lower()]
    raise ValueError(f" is true or false, and this is {in_quotes(node.text)}")


def _text(most: int, pattern: str, what: str) -> Callable[[Node], str | None]:
    """A converter to a text of that many characters at most; its message says `what` it is, and never quotes a password."""

    def convert(node: Node) -> str | None:
        text = "" if node.empty else node.text.strip()
        if len(text) > most:
            raise ValueError(f" has at most {most} characters, and this one has {len(text)}")
        if text and not re.fullmatch(pattern, text):
            raise ValueError(f" is {what}, and this is not")
        return text or None

    return convert


def _left_out(node: Node) -> bool:
    """Whether a job says that it has none, whatever the defaults say."""
    return node.empty or not node.text.strip()


FIELDS: dict[str, Callable[[Node], object]] = {
    "warn": _duration,
    "error": _duration,
    "sensitivity": _failures,
    "active": _truth,
    "schedule": _schedule,
    "timezone": lambda node: "UTC" if _left_out(node) else node.text,
    "slow": _slow,
    "too_slow": _positive,
    "fast": _positive,
    "after": lambda node: None if node.empty or not node.text else node,
    "escalate": functools.partial(_failures, least=1),
    "owner": _text(200, r"[^\x00-\x1f\x7f-\x9f]+", "one line of text"),
    "description": _text(2000, r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]+", "text without control characters"),
    "runbook": _text(500, _URL, "a URL like https://wiki.example.com/etl, without blanks, quotes or a password"),
}
"""The keys of a job, as in JobConfig, and their converters; the message of a converter's ValueError follows the key.

`after` stays a node until the names have been capitalized. Whether a schedule of five fields is right, the server knows.
"""
