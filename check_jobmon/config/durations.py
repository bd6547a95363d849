"""Durations as people write them, and as PostgreSQL's intervals: months, days and microseconds, each with its sign.

Needs no server. A text means what PostgreSQL's interval input makes of it (manual, 8.5.4), except that a number without a
unit is refused: PostgreSQL takes it for seconds, which few people remember.
"""

import difflib
import functools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

_SECOND = 1_000_000
_DAY = 86400 * _SECOND
_INT32 = 2**31 - 1
_INT64 = 2**63 - 1
_LONGEST = 200


class _Unit(NamedTuple):
    """One of it, as an interval's three parts."""

    name: str
    months: int
    days: int
    microseconds: int


_UNITS = {
    _Unit("microsecond", 0, 0, 1): "us usec usecs microseconds",
    _Unit("millisecond", 0, 0, 1000): "ms msec msecs milliseconds",
    _Unit("second", 0, 0, _SECOND): "s sec secs seconds",
    _Unit("minute", 0, 0, 60 * _SECOND): "m min mins minutes",
    _Unit("hour", 0, 0, 3600 * _SECOND): "h hr hrs hours",
    _Unit("day", 0, 1, 0): "d days",
    _Unit("week", 0, 7, 0): "w weeks",
    _Unit("month", 1, 0, 0): "mon mons months",
    _Unit("year", 12, 0, 0): "y yr yrs years",
    _Unit("decade", 120, 0, 0): "decades",
    _Unit("century", 1200, 0, 0): "centuries",
}
_UNIT = {name: unit for unit, names in _UNITS.items() for name in (unit.name, *names.split())}

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_TOKEN = re.compile(
    rf"(?P<sign>[+-]?)(?P<hours>[0-9]+):(?P<minutes>[0-9]{{2}})(?::(?P<seconds>[0-9]{{2}}(?:\.[0-9]*)?))?(?=\s|$)"
    r"|(?P<years>[+-]?[0-9]+)-(?P<months>[0-9]{1,2})(?=\s|$)"
    rf"|(?P<number>{_NUMBER})\s*(?P<unit>[^\W\d_]*)"
)
_ISO = re.compile(
    rf"P(?P<year>{_NUMBER}Y)?(?P<month>{_NUMBER}M)?(?P<week>{_NUMBER}W)?(?P<day>{_NUMBER}D)?"
    rf"(?:T(?=[0-9+.-])(?P<hour>{_NUMBER}H)?(?P<minute>{_NUMBER}M)?(?P<second>{_NUMBER}S)?)?"
)
_ISO_ALTERNATIVE = re.compile(r"^P(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d(?:\.\d+)?)\Z", re.ASCII)
"""The manual calls it 'alternative format'."""
_NO_DURATION = "is not a duration: write, for example, 90m, 25h, 1d 12h or PT90M"


class NotADuration(ValueError):
    """Why a text is not a duration, to stand after the text itself."""


@dataclass(frozen=True)
class Duration:
    """A PostgreSQL interval. Equal only if all three parts are: a month is not 30 days, nor a day 24 hours."""

    months: int = 0
    days: int = 0
    microseconds: int = 0

    @property
    def length(self) -> int:
        """Microseconds, a month taken for 30 days: PostgreSQL orders intervals by this."""
        return (self.months * 30 + self.days) * _DAY + self.microseconds

    def __str__(self) -> str:
        """As people write it; parse() gives exactly the same duration again.

        >>> str(Duration(14, 3, 90_000_000)), str(Duration()), str(Duration(0, -1, 43_200_000_000))
        ('1y 2mon 3d 1m 30s', '0s', '-1d +12h')
        """
        if self in _INFINITE:
            return _INFINITE[self]
        years, months = _divide(self.months, 12)
        seconds, microseconds = _divide(self.microseconds, _SECOND)
        minutes, seconds = _divide(seconds, 60)
        hours, minutes = _divide(minutes, 60)
        parts = [(years, "y"), (months, "mon"), (self.days, "d"), (hours, "h"), (minutes, "m")]
        words = [f"{number}{unit}" for number, unit in parts if number]
        if seconds or microseconds or not words:
            sign = "-" if min(seconds, microseconds) < 0 else ""
            fraction = f".{abs(microseconds):06}".rstrip("0") if microseconds else ""
            words.append(f"{sign}{abs(seconds)}{fraction}s")
        for place in range(1, len(words)):
            if words[place - 1].startswith("-") and not words[place].startswith("-"):
                words[place] = "+" + words[place]
        return " ".join(words)


# PostgreSQL 17 and newer mean infinity by these very values; for older versions they are just the longest intervals.
_INFINITE = {
    Duration(_INT32, _INT32, _INT64): "infinity",
    Duration(-_INT32 - 1, -_INT32 - 1, -_INT64 - 1): "-infinity",
}
_INFINITY = {text: value for value, text in _INFINITE.items()} | {"+infinity": Duration(_INT32, _INT32, _INT64)}


def _divide(number: int, divisor: int) -> tuple[int, int]:
    """Quotient and remainder, both with the number's sign."""
    quotient, remainder = divmod(abs(number), divisor)
    return (-quotient, -remainder) if number < 0 else (quotient, remainder)


@functools.lru_cache(maxsize=1000)  # a file has thousands of jobs and a handful of durations
def parse(text: str) -> Duration:
    """Read `90m`, `1d 12h`, `2 days 03:30`, `1-6` (years and months), `P1DT12H`, `infinity`. Raises NotADuration.

    >>> parse("1d 12h"), parse("90m") == parse("PT1H30M") == parse("01:30")
    (Duration(months=0, days=1, microseconds=43200000000), True)
    """
    text = text.strip()
    if not text:
        raise NotADuration("is empty: write, for example, 90m, 25h or 1d 12h")
    if len(text) > _LONGEST:
        raise NotADuration("is too long")
    if text.lower() in _INFINITY:
        return _INFINITY[text.lower()]
    return _sum(_iso(text) if text.startswith("P") else _verbose(text.lower()))


def _iso(text: str) -> list[tuple[Fraction, _Unit]]:
    match = _ISO.fullmatch(_ISO_ALTERNATIVE.sub(r"P\1Y\2M\3DT\4H\5M\6S", text))
    if not match or not any(match.groups()):
        raise NotADuration("is not an ISO 8601 duration: write, for example, PT90M, P1DT12H or P2W")
    return [(Fraction(number[:-1]), _UNIT[unit]) for unit, number in match.groupdict().items() if number]


def _verbose(text: str) -> list[tuple[Fraction, _Unit]]:
    body = text.removeprefix("@").strip()
    ago = body.endswith(" ago")
    body = body.removesuffix(" ago").strip()
    amounts: list[tuple[Fraction, _Unit]] = []
    while body:
        match = _TOKEN.match(body)
        if not match:
            raise NotADuration(_NO_DURATION)
        body = body[match.end() :].lstrip()
        if match["hours"]:
            amounts += _clock(match)
        elif match["years"]:
            months = int(match["months"])
            if months > 11:
                raise NotADuration("has more than 11 months after its years")
            amounts.append((Fraction(match["years"]), _UNIT["year"]))
            amounts.append((Fraction(-months if "-" in match["years"] else months), _UNIT["month"]))
        else:
            amounts.append((Fraction(match["number"]), _unit(match, body)))
    units = [unit for _, unit in amounts]
    for unit in units:
        if units.count(unit) > 1:
            raise NotADuration(f"has {unit.name}s twice")
    if not amounts:
        raise NotADuration(_NO_DURATION)
    return [(-number, unit) for number, unit in amounts] if ago else amounts


def _clock(match: "re.Match[str]") -> list[tuple[Fraction, _Unit]]:
    numbers = [Fraction(match["hours"]), Fraction(match["minutes"]), Fraction(match["seconds"] or "0")]
    if max(numbers[1:]) >= 60:
        raise NotADuration("has more than 59 minutes or seconds on its clock")
    sign = -1 if match["sign"] == "-" else 1
    return [(sign * number, _UNIT[unit]) for number, unit in zip(numbers, ("hour", "minute", "second"), strict=True)]


def _unit(match: "re.Match[str]", rest: str) -> _Unit:
    """The unit after a number; `rest` is what follows them."""
    word, number = match["unit"], match["number"]
    if word in _UNIT:
        return _UNIT[word]
    if word:
        nearest = difflib.get_close_matches(word, _UNIT, 1)
        raise NotADuration(
            f"is not a duration: there is no unit {word!r}" + (f", but {nearest[0]!r}" if nearest else "")
        )
    if re.match(r"[+-]?[0-9]+:", rest):
        return _UNIT["day"]  # '3 04:05', SQL standard
    raise NotADuration(f"has no unit: write {number}s, {number}m, {number}h or {number}d")


def _sum(amounts: list[tuple[Fraction, _Unit]]) -> Duration:
    """Add up. As in PostgreSQL, the fraction of a month is added as days of a 30-day month, the fraction of a day as time."""
    months = days = microseconds = Fraction()
    for number, unit in amounts:
        exact = number * unit.months
        if exact.denominator > 1 and unit.name != "month":
            raise NotADuration(f"is not a whole number of months: write the {unit.name}s without a fraction")
        months += int(exact)
        days += (exact - int(exact)) * 30 + number * unit.days
        microseconds += number * unit.microseconds
    microseconds += (days - int(days)) * _DAY
    result = Duration(int(months), int(days), round(microseconds))
    bounds = ((result.months, _INT32), (result.days, _INT32), (result.microseconds, _INT64))
    if any(not -most - 1 <= number <= most for number, most in bounds):
        raise NotADuration("is out of the range of PostgreSQL's intervals")
    return result
