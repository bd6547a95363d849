"""Queries the job log, and explains its answers and errors: one deadline, one read-only transaction. Judges nothing.

The queries are coroutines, which a session of either kind runs (connection/session.py): one that blocks, or asyncio's.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import psycopg
from psycopg import errors

from check_jobmon.connection.errors import CheckImpossible, DatabaseUnreachable, hint_for, one_line
from check_jobmon.connection.session import SETTING, Pinned, Rows
from check_jobmon.judging import catalog
from check_jobmon.judging.job import Job, Step, Words
from check_jobmon.judging.selection import EVERY_JOB, Selection
from check_jobmon.schema.scripts import FAILURES, job_status
from check_jobmon.sql_files import fill, quoted, sql_file
from check_jobmon.text import clean

LOCK_SHARE = 0.9
"""The part of a statement's time that it may wait for a lock, to tell a locked table from a slow server."""
LOOK = 0.2
"""Seconds to find out who holds a lock, after the check's own time is over."""
STEPS = 20
"""Steps of a run that are shown, the last ones."""
OUT_OF_TIME = ("57014", "25P03", "25P04")
"""SQLSTATEs of the time limits that the check sets: a statement's, an idle transaction's and a transaction's."""
UNKNOWN_LOCK = "(SELECT relation::regclass, pid FROM pg_locks WHERE mode = 'AccessExclusiveLock' shows by whom)"

Judgement: TypeAlias = tuple[Words, list[Job], dict[int, list[Step]]]
"""The words for the alert codes, the monitored jobs, and the steps of their last runs by job_id."""
History: TypeAlias = Mapping[str, tuple[float | None, int]]
"""By job: when it succeeded last, in seconds since 1970, None if never; and how many of its runs are open."""


class Inquiry:
    """The queries on the job log of one database, over a session of any kind.

    `deadline` is the time.monotonic() by which the server has to have answered. judging() sets `selection` (its patterns in upper
    case), `query_seconds`, `rows` and `notes`.
    """

    def __init__(self, session: Pinned, schema: str, deadline: float) -> None:
        self.session = session
        self.schema = schema
        self.deadline = deadline
        self.selection = EVERY_JOB
        self.query_seconds = 0.0
        self.rows = 0
        self.notes: tuple[str, ...] = ()
        self.columns: Mapping[str, str] = {}
        self.access = "scan"

    def describe(self) -> str:
        """The connection, for people."""
        info = self.session.info
        return (
            f'"{self.session.dbname}" at {info.host or "the default socket"}:{info.port} as "{self.session.user}", '
            f"PostgreSQL {info.parameter_status('server_version')}"
        )

    async def judging(
        self, selection: Selection = EVERY_JOB, failures: int = FAILURES, verbose: int = 0, silences: bool = True
    ) -> Judgement:
        """The words for the alert codes, the monitored jobs, worst first, and on demand the steps of their last runs.

        From `verbose` 1 on, what open runs wait for is looked up for all of them, from 2 on the steps. Without `silences`,
        none counts.

        Two round trips: the first reads the catalog, to see whether and how the tables can be read, and capitalizes the
        selection's patterns. If it can't tell whether reading is safe, doubts.sql takes one more.
        """
        # One transaction, so that PgBouncer in transaction mode can have it.
        is_superuser = self.session.info.parameter_status("is_superuser") == "on"
        rows, *more = await self._fetch(f"""
            {self._bounds()}
            SET LOCAL jit = off;
            SET LOCAL work_mem = '64MB';
            {catalog.query("catalog", self.schema)};
            {selection.capitals}
            {catalog.query("doubts", self.schema) if is_superuser else ""};
        """)
        self.selection = selection.capitalized(more.pop(0)[0][0]) if selection.capitals else selection
        if catalog.in_doubt(rows) and not more:
            more = await self._fetch(f"{self._timeouts()}{catalog.query('doubts', self.schema)};")
        doubts = more[0][0] if more else ()
        found = catalog.examine(rows, doubts, self.schema, self.session.dbname, self.session.user)
        if isinstance(found, str):
            raise CheckImpossible(found)
        self.notes = found.notes
        self.columns = found.columns
        self.access = "index" if found.strategy == "index" else "scan"
        query = job_status(
            self.schema,
            failures,
            found.strategy,
            found.newest,
            self.selection.extra_names(self.schema),
            self.selection.name_filter(),
            found.columns,
            every_blocker=verbose > 0,
            silences=silences and found.silences,
        )
        steps = verbose > 1
        last_steps = ""
        if steps:  # one more than are shown, so that more are known to be there
            last_steps = self._timeouts_again() + self._query("last_steps", limit=str(STEPS + 1), job_status=query)
        started = time.monotonic()
        answers = await self._fetch(f"""
            {self._timeouts()}
            {self._query("status_texts", **found.columns)};
            {self._timeouts_again()}
            {query};
            {last_steps};
            COMMIT;
        """)
        self.query_seconds = time.monotonic() - started
        self.rows = len(answers[1])
        jobs = sorted(map(Job._make, answers[1]), key=lambda job: (-job.alert_code, job.name))
        details: dict[int, list[Step]] = {}
        for row in answers[2] if steps else ():
            details.setdefault(row[0], []).append(Step(*row[1:]))
        return self._words(answers[0]), jobs, details

    async def history(self, jobs: Sequence[Job]) -> History:
        """When each of these jobs, which judging() has given, succeeded last, and its open runs. One more round trip."""
        last_runs = ", ".join(str(job.done_job_id) for job in jobs if job.done_job_id is not None)
        success = self._query(f"success_{self.access}", **self.columns, job_ids=f"'{{{last_runs}}}'::bigint[]")
        answers = await self._fetch(f"{self._bounds()}{self._query('open_runs')};{success};COMMIT;")
        open_runs, successes = (dict[Any, Any](rows) for rows in answers)
        return {job.name: (successes.get(job.done_job_id), open_runs.get(job.name, 0)) for job in jobs}

    async def naming(self) -> list[str]:
        """All names that were ever logged or configured, sorted. One more round trip."""
        answers = await self._fetch(f"{self._bounds()}{self._query('known_names')};COMMIT;")
        return [row[0] for row in answers[0]]

    def _query(self, name: str, **values: str) -> str:
        return fill(sql_file(f"judging/{name}.sql"), {"schema": quoted(self.schema), **values})

    def _bounds(self) -> str:
        """Statements that make the server stop by the deadline, even if this process is gone by then."""
        left = self._left()
        bounds = f"{self._timeouts()} SET LOCAL idle_in_transaction_session_timeout = {left};"
        if self.session.info.server_version < 170000:
            return bounds
        # To the server a running timeout changes only by way of 0. A little longer than a statement's, which says more.
        return f"{bounds} SET LOCAL transaction_timeout = 0; SET LOCAL transaction_timeout = {left + 100};"

    def _left(self) -> int:
        """Milliseconds until the deadline, at least one: PostgreSQL takes 0 for no limit."""
        return max(1, round((self.deadline - time.monotonic()) * 1000))

    def _timeouts(self) -> str:
        left = self._left()
        return f"SET LOCAL statement_timeout = {left}; SET LOCAL lock_timeout = {max(1, round(left * LOCK_SHARE))};"

    def _timeouts_again(self) -> str:
        """Sets the limits of the next statement of a script to the time that is left, so that all end by the deadline."""
        left = f"{self._left()} - extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000"
        return "".join(
            f"SELECT set_config('{name}', greatest(1, (({left}) * {share})::integer)::text, true) AS {SETTING};"
            for name, share in (("statement_timeout", 1), ("lock_timeout", LOCK_SHARE))
        )

    async def _fetch(self, script: str) -> list[Rows]:
        """The answers to a script, or DatabaseUnreachable or CheckImpossible for an error."""
        try:
            return await self.session.fetch(script)
        except psycopg.Error as error:
            failure = await self._failure(error)
            raise failure from error

    async def _failure(self, error: psycopg.Error) -> Exception:
        database, text, state = f'database "{self.session.dbname}"', one_line(error), error.sqlstate or ""
        if isinstance(error, errors.InsufficientPrivilege):
            return CheckImpossible(
                f'role "{self.session.user}" may not read the job log in {database} ({text}): GRANT {self.schema}_monitor TO '
                "that role, or name another role with -U"
            )
        if isinstance(error, errors.UntranslatableCharacter):
            return CheckImpossible(f"{database} has no such letter, so no job there has it: {text}: correct -j and -x")
        out_of_time = state in OUT_OF_TIME and "user request" not in str(error)
        lock_time_is_up = isinstance(error, errors.LockNotAvailable)
        if lock_time_is_up or (out_of_time and isinstance(error, errors.QueryCanceled)):
            # the first query waits for one lock after the other, each for its own time
            self.deadline = max(self.deadline, time.monotonic() + LOOK)
            lock = await self._lock()
            if lock or lock_time_is_up:
                return DatabaseUnreachable(
                    f'a table of schema "{self.schema}" in {database} is locked {lock or UNKNOWN_LOCK}'
                )
        if out_of_time:
            return DatabaseUnreachable(
                f"{database} did not answer in time ({text}): look at its load, or give more time with -t"
            )
        # What has no SQLSTATE and is not about one value, libpq found: what came was no answer of PostgreSQL's.
        no_answer = not (state or isinstance(error, psycopg.DataError))
        if isinstance(error, psycopg.OperationalError) or state in OUT_OF_TIME or no_answer:
            return DatabaseUnreachable(f"{database} broke off the check: {text}: {hint_for(text, state)}")
        return CheckImpossible(
            f"the check query failed in {database}: {text}: compare the tables with those of a fresh schema (jobmonctl "
            "bootstrap), or see the server's log"
        )

    async def _lock(self) -> str:
        """Which table is locked, by which session, and what to do; "" if no lock is found in the time that is left."""
        try:
            answers = await self.session.fetch(f"{self._bounds()}{catalog.query('table_lock', self.schema)};COMMIT;")
        except psycopg.Error:
            return ""
        if not answers[0]:
            return ""
        table, granted, pid, *names, since = answers[0][0]
        if pid is None:
            return f"({table} by a prepared transaction): see pg_prepared_xacts, and commit it or roll it back"
        who = ", ".join([f"pid {pid}", *(clean(name, 60) for name in names if name)])
        whose = f"{who}, in a transaction since {since}" if since else who
        if granted:
            return f"({table} by {whose}): wait for its end, or end it with SELECT pg_terminate_backend({pid})"
        return f"({table}: {whose}, waits to lock it, and all others behind): see what that one waits for, or end it"

    def _words(self, rows: Rows) -> Words:
        found = {code: clean(text or "", 40) for code, text in rows}
        for code in (1, 2, 3):
            if not found.get(code):
                raise CheckImpossible(
                    f'{self.schema}.job_status_text in database "{self.session.dbname}" has no text for alert code '
                    f"{code}: the codes are 1 OK, 2 WARNING, 3 CRITICAL, put the row back"
                )
        return Words(found[1], found[2], found[3])
