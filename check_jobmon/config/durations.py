"""Durations as people write them, as PostgreSQL's interval has them: months, days and microseconds, each with its sign.

Needs no server. What it reads means what PostgreSQL's interval input makes of it (manual, 8.5.4), except that a number
without a unit is refused, because nobody remembers that PostgreSQL takes it for seconds.
"""

import difflib
import functools
import re
from dataclasses import dataclass
from fractions import Fraction

_SECOND = 1_000_000
_DAY = 86400 * _SECOND
_INT32 = 2**31 - 1
_INT64 = 2**63 - 1
_LONGEST = 200

_UNITS = {
    "microsecond": ("us", "usec", "usecs", "microseconds"),
    "millisecond": ("ms", "msec", "msecs", "milliseconds"),
    "second": ("s", "sec", "secs", "seconds"),
    "minute": ("m", "min", "mins", "minutes"),
    "hour": ("h", "hr", "hrs", "hours"),
    "day": ("d", "days"),
    "week": ("w", "weeks"),
    "month": ("mon", "mons", "months"),
    "year": ("y", "yr", "yrs", "years"),
    "decade": ("decades",),
    "century": ("centuries",),
}
_UNIT = {name: unit for unit, names in _UNITS.items() for name in (unit, *names)}
_MICROSECONDS = {
    "microsecond": 1,
    "millisecond": 1000,
    "second": _SECOND,
    "minute": 60 * _SECOND,
    "hour": 3600 * _SECOND,
}
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12, "decade": 120, "century": 1200}

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
_ISO_ALTERNATIVE = re.compile(
    r"P([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2}(?:\.[0-9]+)?)"
)  # the manual calls it 'alternative format'


class NoDuration(ValueError):
    """Why a text is no duration, to stand after the text itself."""


@dataclass(frozen=True)
class Duration:
    """A PostgreSQL interval. Equal only if all three parts are: a month is not 30 days, nor a day 24 hours."""

    months: int = 0
    days: int = 0
    microseconds: int = 0

    @property
    def length(self) -> int:
        """Microseconds, a month taken for 30 days: what PostgreSQL orders intervals by."""
        return (self.months * 30 + self.days) * _DAY + self.microseconds

    def __str__(self) -> str:
        """As people write it, and so that it is read as exactly the same.

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


# PostgreSQL 17 and newer mean infinity by these very values; to the older they are just the longest there are.
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
    """Read `90m`, `1d 12h`, `2 days 03:30`, `1-6` (years and months), `P1DT12H`, `infinity`. Raises NoDuration.

    >>> parse("1d 12h"), parse("90m") == parse("PT1H30M") == parse("01:30")
    (Duration(months=0, days=1, microseconds=43200000000), True)
    """
    text = text.strip()
    if not text:
        raise NoDuration("is empty: write 90m, 25h, 1d 12h, say")
    if len(text) > _LONGEST:
        raise NoDuration("is too long")
    if text.lower() in _INFINITY:
        return _INFINITY[text.lower()]
    amounts = _iso(text) if text.startswith("P") else _verbose(text.lower())
    return _sum(amounts)


def _iso(text: str) -> list[tuple[Fraction, str]]:
    if match := _ISO_ALTERNATIVE.fullmatch(text):
        units = ("year", "month", "day", "hour", "minute", "second")
        return [(Fraction(number), unit) for number, unit in zip(match.groups(), units, strict=True)]
    match = _ISO.fullmatch(text)
    if not match or not any(match.groups()):
        raise NoDuration("is no ISO 8601 duration: write PT90M, P1DT12H, P2W, say")
    return [(_fraction(number[:-1]), unit) for unit, number in match.groupdict().items() if number]


def _verbose(text: str) -> list[tuple[Fraction, str]]:
    body = text.removeprefix("@").strip()
    ago = body.endswith(" ago")
    body = body.removesuffix(" ago").strip()
    amounts: list[tuple[Fraction, str]] = []
    place = 0
    while place < len(body):
        match = _TOKEN.match(body, place)
        if not match:
            raise NoDuration("is no duration: write 90m, 25h, 1d 12h, PT90M, say")
        place = match.end()
        while place < len(body) and body[place].isspace():
            place += 1
        if match["hours"]:
            amounts += _clock(match)
        elif match["years"]:
            years = int(match["years"])
            months = int(match["months"])
            if months > 11:
                raise NoDuration("has more than 11 months after its years")
            amounts += [(Fraction(years), "year"), (Fraction(-months if "-" in match["years"] else months), "month")]
        else:
            amounts.append((_fraction(match["number"]), _unit(match, body, place)))
    units = [unit for _, unit in amounts]
    for unit in units:
        if units.count(unit) > 1:
            raise NoDuration(f"has {unit}s twice")
    if not amounts:
        raise NoDuration("is no duration: write 90m, 25h, 1d 12h, PT90M, say")
    return [(-number, unit) for number, unit in amounts] if ago else amounts


def _clock(match: "re.Match[str]") -> list[tuple[Fraction, str]]:
    minutes, seconds = Fraction(match["minutes"]), _fraction(match["seconds"] or "0")
    if minutes >= 60 or seconds >= 60:
        raise NoDuration("has more than 59 minutes or seconds on its clock")
    sign = -1 if match["sign"] == "-" else 1
    return [(sign * Fraction(match["hours"]), "hour"), (sign * minutes, "minute"), (sign * seconds, "second")]


def _unit(match: "re.Match[str]", body: str, end: int) -> str:
    word = match["unit"]
    if word in _UNIT:
        return _UNIT[word]
    if word:
        nearest = difflib.get_close_matches(word, _UNIT, 1)
        raise NoDuration(f"is no duration: there is no unit {word!r}" + (f", but {nearest[0]!r}" if nearest else ""))
    if re.match(r"[+-]?[0-9]+:", body[end:]):
        return "day"  # '3 04:05', SQL standard
    number = match["number"]
    raise NoDuration(f"has no unit: write {number}s, {number}m, {number}h or {number}d")


def _fraction(number: str) -> Fraction:
    return Fraction(number.rstrip(".") if number.endswith(".") else number)


def _sum(amounts: list[tuple[Fraction, str]]) -> Duration:
    """Add up. A fraction of a month goes on as days of a 30-day month, one of a day as time, as in PostgreSQL."""
    months = days = microseconds = Fraction()
    for number, unit in amounts:
        if unit in _MONTHS:
            exact = number * _MONTHS[unit]
            whole = int(exact)
            months += whole
            if exact != whole and unit != "month":
                raise NoDuration(f"is no whole number of months: write the {unit}s without a fraction")
            days += (exact - whole) * 30
        elif unit in _DAYS:
            days += number * _DAYS[unit]
        else:
            microseconds += number * _MICROSECONDS[unit]
    microseconds += (days - int(days)) * _DAY
    result = Duration(int(months), int(days), round(microseconds))
    bounds = ((result.months, _INT32), (result.days, _INT32), (result.microseconds, _INT64))
    if any(not -most - 1 <= number <= most for number, most in bounds):
        raise NoDuration("is out of the range of PostgreSQL's intervals")
    return result
