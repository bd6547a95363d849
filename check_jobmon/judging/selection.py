"""Which jobs a check is about (-j and -x): as a test of names, and as conditions for the check query."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from check_jobmon.connection.errors import CheckImpossible
from check_jobmon.judging.job import Job
from check_jobmon.sql_files import fill, literal, quoted, sql_file
from check_jobmon.text import title

NO_NAMES = "SELECT NULL WHERE false"


class UnknownJob(CheckImpossible):
    """A name or pattern that was asked for matches no job that was ever logged or configured. One line."""


@dataclass(frozen=True)
class Selection:
    """Shell patterns (`*`, `?`, `[...]`) of the names to include (none given: all names) and of the names to exclude.

    As with add_job(), case does not matter, by the rules of the database: all that compares needs `capitalized` patterns.
    With `logged`, "all names" are also those in the log that the check wouldn't monitor.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    logged: bool = False
    given: tuple[str, ...] = ()
    """What `include` was before it was capitalized."""

    @property
    def capitals(self) -> str:
        """A statement that gives the patterns in upper case, as an array. Empty if there are none."""
        patterns = [f"upper({literal(pattern)})" for pattern in self.include + self.exclude]
        return f"SELECT ARRAY[{', '.join(patterns)}];" if patterns else ""

    def capitalized(self, patterns: Sequence[str]) -> "Selection":
        """The same with the patterns of that array."""
        number = len(self.include)
        return Selection(tuple(patterns[:number]), tuple(patterns[number:]), self.logged, self.include)

    def __contains__(self, job: Job) -> bool:
        """Whether the job is to be checked."""
        return (not self.include or _matches(job, self.include)) and not _matches(job, self.exclude)

    def unmatched(self, jobs: Sequence[Job]) -> list[str]:
        """The patterns to include that match none of these jobs."""
        return [pattern for pattern in self.include if not any(_matches(job, (pattern,)) for job in jobs)]

    @property
    def exact(self) -> bool:
        """Whether the names to include are just that, without wildcards."""
        return bool(self.include) and not any(set("*?[") & set(pattern) for pattern in self.include)

    def name_filter(self) -> str:
        """A condition on m.job_name, so that the server judges no more jobs than were asked for."""
        if not self.exact:
            return "true"
        # upper(), because a name in job_check_config that is not upper case is to be found, and explained
        return fill(sql_file("judging/needed_names.sql"), {"names": _literals(self.include)})

    def extra_names(self, schema: str) -> str:
        """A SELECT of the logged names among those asked for, so that healthy jobs without configuration are judged too."""
        if not self.include:
            return all_names(schema) if self.logged else NO_NAMES
        if not self.exact:
            return all_names(schema)
        run = f"SELECT FROM {quoted(schema)}.job_log AS r WHERE r.job_name = n.job_name AND r.end_time"
        # also as given: another locale's upper case, in a restored log
        return (
            f"SELECT n.job_name FROM unnest(ARRAY[{_literals(self.include + self.given)}]) AS n(job_name)"
            f" WHERE EXISTS ({run} IS NOT NULL) OR EXISTS ({run} IS NULL)"
        )


EVERY_JOB = Selection()


def all_names(schema: str) -> str:
    """A SELECT of all names in job_log, in parentheses."""
    return f"({sql_file('schema/logged_names.sql').replace('@schema@', quoted(schema))})"


def unknown(name: str, names: list[str]) -> str:
    """What to say of a name or pattern that none of the known names matches."""
    near = [f'"{title(like)}"' for like in nearest(name, names)]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"none of the names known here ({len(names)}) is like it, jobmonctl status lists them"
    else:
        hint = "nothing was, is this the right database?"
    return f'no job "{title(name)}" was ever logged or configured: {hint}'


def nearest(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that are near to the pattern, the best first, three at most. Compares their first sixty characters.

    Near is a name at an edit distance of at most a third of the pattern's length, or that shares its beginning: all of the
    shorter one, or half of the pattern and no less than three characters. Letter case doesn't matter here.
    """
    asked = pattern[:60].casefold()
    found: dict[str, tuple[bool, int, int, str]] = {}
    for name in names:
        spelled = name[:60].casefold()
        prefix = len([*itertools.takewhile(lambda pair: pair[0] == pair[1], zip(asked, spelled, strict=False))])
        edits = _distance(asked, spelled, len(asked) // 3)
        if edits is not None or prefix == min(len(asked), len(spelled)) > 0 or prefix >= max(3, len(asked) / 2):
            found.setdefault(spelled, (edits is None, -prefix if edits is None else edits, len(spelled), name))
    return [name for *_, name in sorted(found.values())[:3]]


def _distance(one: str, other: str, most: int) -> int | None:
    """How many characters have to be inserted, deleted, replaced or swapped with the next, or None if more than `most`.

    >>> _distance("nigthly", "nightly", 2), _distance("nightly", "cube", 2)
    (1, None)
    """
    # the characters that they have in common, wherever, give a bound that is cheap
    if max(len(one), len(other)) - (Counter(one) & Counter(other)).total() > most:
        return None
    before: list[int] = []
    row = list(range(len(other) + 1))
    for number, c in enumerate(one, 1):
        older, before, row = before, row, [number]
        for place, d in enumerate(other):
            row.append(min(before[place] + (c != d), before[place + 1] + 1, row[place] + 1))
            if place and number > 1 and c == other[place - 1] and d == one[number - 2]:
                row[-1] = min(row[-1], older[place - 1] + 1)
        if min(row) > most:
            return None
    return row[-1] if row[-1] <= most else None


def _literals(names: Iterable[str]) -> str:
    return ", ".join(map(literal, dict.fromkeys(names)))


def _matches(job: Job, patterns: Iterable[str]) -> bool:
    if not patterns:
        return False
    import fnmatch

    # also as it is written: a name can have a bracket or a star of its own
    name = job.upper_name or job.name
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
