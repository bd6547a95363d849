"""The table job_check_config: reads its rows, compares them with a file's, and makes them the same. Prints nothing."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Dumper, Loader

from check_jobmon.config.config_file import Time
from check_jobmon.config.durations import Duration
from check_jobmon.config.job_fields import USUAL, JobConfig, Slow
from check_jobmon.connection.errors import CheckImpossible
from check_jobmon.connection.session import Session
from check_jobmon.judging.selection import all_names, nearest
from check_jobmon.schema.scripts import CALENDAR, SINCE, columns_of
from check_jobmon.sql_files import fill, quoted, sql_file
from check_jobmon.text import clean

COLUMNS = {
    **{"job_name": "name", "warn_threshold": "warn", "error_threshold": "error", "sensitivity": "sensitivity"},
    **{"active": "active", "owner": "owner", "description": "description", "runbook": "runbook"},
    **{"schedule": "schedule", "timezone": "timezone", "warn_duration": "slow.duration", "slow_factor": "slow.factor"},
    **{"error_duration": "too_slow", "min_duration": "fast", "depends_on": "after", "escalate": "escalate"},
}
"""The columns that are written, and the attributes of JobConfig that they have."""
_INTERVAL = struct.Struct("!qii")  # microseconds, days, months: interval_send() of PostgreSQL
LOCK_TIMEOUT = "30s"


class IntervalLoader(Loader):
    """Binary, because no text form of an interval survives every version and intervalstyle whole."""

    format = pq.Format.BINARY

    def load(self, data: Any) -> Duration:
        microseconds, days, months = _INTERVAL.unpack(bytes(data))
        return Duration(months, days, microseconds)


class _DurationDumper(Dumper):
    format = pq.Format.BINARY
    oid = psycopg.adapters.types["interval"].oid

    def dump(self, obj: Duration) -> bytes:
        return _INTERVAL.pack(obj.microseconds, obj.days, obj.months)


@dataclass(frozen=True)
class Change:
    """One job that is to be added, changed, removed, or kept although the file doesn't name it."""

    name: str
    before: JobConfig | None
    after: JobConfig | None

    @property
    def sign(self) -> str:
        """`+`, `~`, `-`, or `=` for a row that is kept."""
        if self.before is None:
            return "+"
        return "-" if self.after is None else "=" if self.after is self.before else "~"

    @property
    def difference(self) -> str:
        """The values that differ, for people; all of them for a row that is added or removed."""
        before, after = self.before, self.after
        if before is after:
            return "kept, though the file does not name it (--prune removes it)"
        old, new = before.values() if before else {}, after.values() if after else {}
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if old and new:
            return ", ".join(f"{key} {_short(old, key)} -> {_short(new, key)}" for key in keys)
        return ", ".join(f"{key} {_short(old or new, key)}" for key in keys)


def _short(values: Mapping[str, str], key: str) -> str:
    return clean(values.get(key, USUAL.get(key, "none")), 60)


def changes(table: Iterable[JobConfig], file: Iterable[JobConfig], prune: bool) -> list[Change]:
    """The changes to the table, by name; none for rows that are the same in both."""
    before = {job.name: job for job in table}
    after = {job.name: job for job in file}
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            found.append(Change(name, old, new if new or prune else old))
    return found


@dataclass(frozen=True)
class ConfigTable:
    """The table of one schema, in a session, within a transaction. All methods raise psycopg.Error."""

    session: Session
    schema: str
    columns: Mapping[str, str] = field(default_factory=columns_of)
    version: int = max(SINCE)

    def __post_init__(self) -> None:
        self.session.adapters.register_loader("interval", IntervalLoader)
        self.session.adapters.register_dumper(Duration, _DurationDumper)

    def _execute(self, query: str, *parameters: Any, **options: Any) -> Iterable[tuple[Any, ...]]:
        """Execute a query in which @schema@ is the schema."""
        text = query.replace("@schema@", quoted(self.schema).replace("%", "%%") if parameters else quoted(self.schema))
        return self.session.execute(text.encode(), parameters or None, **options)

    def upper(self, names: Sequence[str]) -> list[str]:
        """The names as add_job() capitalizes them on this server."""
        query = "SELECT upper(n.name) FROM unnest(%s::text[]) WITH ORDINALITY AS n(name, place) ORDER BY n.place"
        return [row[0] for row in self._execute(query, list(names))]

    def rows(self) -> list[JobConfig]:
        """All rows."""
        rows = self._execute(fill(sql_file("config/config_rows.sql"), self.columns), binary=True)
        return [JobConfig(*(*row[:14], Slow(*row[14:]))) for row in rows]

    def lock(self) -> None:
        """Keep all others from writing until the transaction's end; readers, as the check, go on."""
        self._execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        self._execute("LOCK TABLE @schema@.job_check_config IN SHARE ROW EXCLUSIVE MODE")

    def wrong_times(self, times: Sequence[Time]) -> dict[Time, str]:
        """What the server says is wrong with schedules and time zones: those that are wrong, and why."""
        given = [*map(list, zip(*times, strict=True))] if self.version >= CALENDAR else []
        rows = self._execute(sql_file("config/wrong_times.sql"), *given) if given else ()
        return {(key, text): wrong for key, text, wrong in rows}

    def _missing(self) -> set[str]:
        """Those of COLUMNS that a schema of this version lacks."""
        return {c for number, tables in SINCE.items() if number > self.version for c in tables["job_check_config"]}

    def require_columns(self, jobs: Iterable[JobConfig]) -> None:
        """Raise CheckImpossible if the schema is too old for a job."""
        keys = {COLUMNS[column].partition(".")[0] for column in self._missing() & COLUMNS.keys()}
        for job in jobs:
            for key in keys & job.values().keys():
                what = f'schema "{self.schema}" has no column for {key}, which job "{clean(job.name, 60)}" has'
                raise CheckImpossible(f'{what}: run "jobmonctl bootstrap"')

    def make(self, changes: Iterable[Change]) -> None:
        """Add, change and remove rows. Belongs into a transaction."""
        columns = [column for column in COLUMNS if column not in self._missing()]
        values = attrgetter(*(COLUMNS[column] for column in columns))
        row = f"({', '.join(columns)})"
        places = f"({', '.join(['%s'] * len(columns))})"
        insert = f"INSERT INTO @schema@.job_check_config {row} VALUES {places}"
        update = f"UPDATE @schema@.job_check_config SET {row} = {places} WHERE job_name = %s"
        for change in changes:
            job = change.after
            if job is None:
                self._execute("DELETE FROM @schema@.job_check_config WHERE job_name = %s", change.name)
            elif change.before is None:
                self._execute(insert, *values(job))
            elif change.sign != "=":
                self._execute(update, *values(job), job.name)

    def never_logged(self, names: Sequence[str]) -> Mapping[str, list[str]]:
        """Those of the names that no run was ever logged under, each with the logged name most like it."""
        missing = [row[0] for row in self._execute(sql_file("config/never_logged.sql"), list(names))]
        if not missing:
            return {}
        known = [row[0] for row in self._execute(f"SELECT left(j.job_name, 500) FROM {all_names(self.schema)} AS j")]
        return {name: nearest(name, known)[:1] for name in missing}
