"""Which jobs a check is about (-j and -x): as a test of names, and as conditions for the check query."""

from collections.abc import Iterable
from dataclasses import dataclass

from check_jobmon.sql_files import literal, quoted, sql_file

NO_NAMES = "SELECT NULL WHERE false"


@dataclass(frozen=True)
class Selection:
    """Shell patterns (`*`, `?`, `[...]`) of the names to include (none given: all names) and of the names to exclude.

    As with add_job(), case does not matter. With `logged`, all includes each name in the log, even if it needs no watching.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    logged: bool = False

    def __contains__(self, name: str) -> bool:
        """Whether the job is to be checked."""
        return (not self.include or _matches(name, self.include)) and not _matches(name, self.exclude)

    def unmatched(self, names: Iterable[str]) -> list[str]:
        """The patterns to include that match none of these names."""
        known = list(names)
        return [pattern for pattern in self.include if not any(_matches(name, (pattern,)) for name in known)]

    @property
    def exact(self) -> bool:
        """Whether the names to include are just that, without wildcards."""
        return bool(self.include) and not any(set("*?[") & set(pattern) for pattern in self.include)

    def name_filter(self) -> str:
        """A condition on m.job_name, so that the server judges no more jobs than were asked for."""
        if not self.exact:
            return "true"
        # upper(), because a name in job_check_config that is not upper case is to be found, and explained
        return f"upper(m.job_name) IN ({self._spellings()})"

    def extra_names(self, schema: str) -> str:
        """A SELECT of the logged names among those asked for, so that healthy jobs without configuration are judged too."""
        if not self.include:
            return all_names(schema) if self.logged else NO_NAMES
        if not self.exact:
            return all_names(schema)
        run = f"SELECT FROM {quoted(schema)}.job_log AS r WHERE r.job_name = n.job_name AND r.end_time"
        return (
            f"SELECT n.job_name FROM unnest(ARRAY[{self._spellings()}]) AS n(job_name)"
            f" WHERE EXISTS ({run} IS NOT NULL) OR EXISTS ({run} IS NULL)"
        )

    def _spellings(self) -> str:
        """The names as SQL: as given, in upper case by Python, and by the server, whose rules for other alphabets differ."""
        upper = [literal(name) for name in dict.fromkeys(name.upper() for name in self.include)]
        given = [f"{literal(name)}, upper({literal(name)})" for name in dict.fromkeys(self.include)]
        return ", ".join(upper + given)


EVERY_JOB = Selection()


def all_names(schema: str) -> str:
    """A SELECT of all names in job_log, in parentheses."""
    return f"({sql_file('judging/logged_names.sql').replace('@schema@', quoted(schema))})"


def nearest(pattern: str, names: Iterable[str]) -> list[str]:
    """The names most like the pattern, the best first, three at most. Compares their first hundred characters."""
    import difflib

    spelled: dict[str, str] = {}
    for name in names:
        spelled.setdefault(name[:100].upper(), name)
    return [spelled[like] for like in difflib.get_close_matches(pattern[:100].upper(), spelled, n=3, cutoff=0.4)]


def _matches(name: str, patterns: Iterable[str]) -> bool:
    if not patterns:
        return False
    import fnmatch

    # also as it is written: a name can have a bracket or a star of its own
    upper = name.upper()
    return any(upper == pattern.upper() or fnmatch.fnmatchcase(upper, pattern.upper()) for pattern in patterns)
