"""The table job_check_config: its rows, how they differ from a file's, and making them the same. Prints nothing."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors, pq, sql
from psycopg.adapt import Dumper, Loader

from check_jobmon.config.config_file import JobConfig
from check_jobmon.config.durations import Duration
from check_jobmon.connection.errors import one_line
from check_jobmon.connection.session import Session
from check_jobmon.judging.selection import all_names, nearest

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
    """What becomes of one job: added, changed, removed, or kept though the file doesn't name it."""

    before: JobConfig | None
    after: JobConfig | None

    @property
    def sign(self) -> str:
        """`+`, `~`, `-`, or `=` for a row that is kept."""
        if self.before is None:
            return "+"
        return "-" if self.after is None else "=" if self.after is self.before else "~"

    @property
    def name(self) -> str:
        """The job's name in the table."""
        job = self.after or self.before
        assert job is not None
        return job.name


def changes(table: Iterable[JobConfig], file: Iterable[JobConfig], prune: bool) -> list[Change]:
    """What to do to the table, by name. Rows that are the same in both are not among it."""
    before = {job.name: job for job in table}
    after = {job.name: job for job in file}
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new:
            found.append(Change(old, new if new or prune else old))
    return found


@dataclass(frozen=True)
class ConfigTable:
    """The table of one schema, over one session, within a transaction. All methods raise psycopg.Error."""

    session: Session
    schema: str

    def __post_init__(self) -> None:
        self.session.adapters.register_loader("interval", IntervalLoader)
        self.session.adapters.register_dumper(Duration, _DurationDumper)

    @property
    def _name(self) -> sql.Identifier:
        return sql.Identifier(self.schema, "job_check_config")

    def upper(self, names: Sequence[str]) -> list[str]:
        """The names as add_job() capitalizes them on this server."""
        query = "SELECT upper(n.name) FROM unnest(%s::text[]) WITH ORDINALITY AS n(name, place) ORDER BY n.place"
        return [row[0] for row in self.session.execute(query, [list(names)])]

    def rows(self) -> list[JobConfig]:
        """All rows."""
        query = sql.SQL(
            "SELECT left(c.job_name, 500), c.warn_threshold, c.error_threshold, coalesce(c.sensitivity, 0),"
            " coalesce(c.active, false) FROM {} AS c"
        ).format(self._name)
        return [JobConfig(*row) for row in self.session.execute(query, binary=True)]

    def lock(self) -> None:
        """Let nobody else write until the transaction's end; readers, as the check, go on."""
        self.session.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT))
        self.session.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(self._name))

    def make(self, changes: Iterable[Change]) -> None:
        """Add, change and remove rows. Belongs into a transaction."""
        insert = sql.SQL(
            "INSERT INTO {} (warn_threshold, error_threshold, sensitivity, active, job_name) VALUES (%b, %b, %s, %s, %s)"
        ).format(self._name)
        update = sql.SQL(
            "UPDATE {} SET warn_threshold = %b, error_threshold = %b, sensitivity = %s, active = %s WHERE job_name = %s"
        ).format(self._name)
        delete = sql.SQL("DELETE FROM {} WHERE job_name = %s").format(self._name)
        for change in changes:
            job = change.after
            if job is None:
                self.session.execute(delete, [change.name])
            elif change.sign != "=":
                values = [job.warn, job.error, job.sensitivity, job.active, job.name]
                self.session.execute(insert if change.before is None else update, values)

    def never_logged(self, names: Sequence[str]) -> Mapping[str, list[str]]:
        """Those of the names that no run was ever logged under, each with the logged names most like it."""
        query = sql.SQL(
            "SELECT n.name FROM unnest(%s::text[]) AS n(name)"
            " WHERE NOT EXISTS (SELECT FROM {} AS r WHERE r.job_name = n.name)"
        ).format(sql.Identifier(self.schema, "job_log"))
        missing = [row[0] for row in self.session.execute(query, [list(names)])]
        if not missing:
            return {}
        known = [
            row[0]
            for row in self.session.execute(f"SELECT left(j.job_name, 500) FROM {all_names(self.schema)} AS j".encode())
        ]
        return {name: nearest(name, known)[:1] for name in missing}

    def explain(self, error: psycopg.Error) -> str:
        """What went wrong, and what to do, in one line."""
        if isinstance(error, (errors.UndefinedTable, errors.InvalidSchemaName)):
            return (
                f'no jobmon schema in database "{self.session.dbname}" (looked for "{self.schema}"): run '
                f'"jobmonctl bootstrap -d {self.session.dbname}", or name it with --schema'
            )
        if isinstance(error, errors.InsufficientPrivilege):
            return (
                f"{one_line(error)}: GRANT USAGE ON SCHEMA {self.schema} and SELECT, INSERT, UPDATE, DELETE ON "
                f'{self.schema}.job_check_config TO "{self.session.user}", or name another role with -U'
            )
        if isinstance(error, errors.LockNotAvailable):
            return f"{one_line(error)} within {LOCK_TIMEOUT}: look in pg_locks for who holds {self.schema}.job_check_config"
        return one_line(error)
