"""Recorder: the job log's functions as methods, over a session of their own. Reads and judges nothing."""

import codecs
import contextlib
import os
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from check_jobmon.connection.errors import CheckImpossible, DatabaseUnreachable, one_line
from check_jobmon.connection.session import Session
from check_jobmon.connection.trust import distrust, untrusted
from check_jobmon.recording import OK
from check_jobmon.recording.past_run import PastRun
from check_jobmon.sql_files import fill, literal, quoted, sql_file
from check_jobmon.text import storable

CONNECT_SECONDS = 5
FOREIGN = (
    'schema "{schema}" of database "{dbname}" is the extension pg_jobmon\'s, which only SQL can log to: install check_jobmon\'s '
    'own beside it (jobmonctl bootstrap -d {quoted} --schema joblog), and log there (--schema joblog, in Python schema="joblog")'
)
KEPT_ALIVE = {"keepalives": 1, "keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4}
"""While the job works, nothing else is sent: a firewall would drop the connection, and nobody notice a dead server."""


class Recorder(Session):
    """The logging functions of one schema, over a session of its own. The pid of the runs is that of the session's backend.

    Every method raises psycopg.Error; if the server can't be reached, or is lost, that is a psycopg.OperationalError. Texts
    may be any objects: storable() of them is logged. The session belongs to the process that made it: in a forked process
    every call raises psycopg.InterfaceError, and close() does nothing.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        schema: str = "jobmon",
        application: str = "check_jobmon",
        seconds: float | None = None,
    ) -> None:
        self._schema = storable(schema)
        self._process = os.getpid()
        self._application = storable(application)
        super().__init__({}, seconds)
        self.connect(parameters)

    def connect(self, parameters: Mapping[str, Any] | None = None) -> "Recorder":
        """Begin the session, or another one if the last is lost. `parameters` are libpq's; None: those of the last one."""
        if parameters is not None:
            defaults = {"application_name": self._application, "connect_timeout": CONNECT_SECONDS}
            # parse the connection string, because parameters beside it would override what it says
            given: dict[str, Any] = conninfo_to_dict(**{k: storable(v) for k, v in parameters.items() if v is not None})
            self.parameters = {**defaults, **KEPT_ALIVE, **given}
        try:
            super().connect()
        except (DatabaseUnreachable, CheckImpossible) as error:
            cause = error.__cause__
            raise cause if isinstance(cause, psycopg.Error) else psycopg.OperationalError(str(error)) from None
        self._notices: set[str] = set()
        self._connection.add_notify_handler(lambda notice: self._notices.add(notice.payload))
        try:
            settings = "SET jobmon.keep_link = on; SET jobmon.on_link_failure = error;"
            settings += "SET idle_session_timeout = 0;" if self.info.server_version >= 140000 else ""
            foreign_log = fill(sql_file("recording/foreign_log.sql"), {"name": literal(self._schema)})
            found, foreign = self.script(f"{self._bounds()}{settings}{untrusted(self._schema)};{foreign_log};COMMIT")
            if found:
                raise errors.InsufficientPrivilege(distrust(found[0][0], self._schema, self.dbname, self.user))
            if foreign:
                where = {"schema": self._schema, "dbname": self.dbname, "quoted": shlex.quote(self.dbname)}
                raise errors.FeatureNotSupported(FOREIGN.format(**where))
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End the session, and with it its link and its locks."""
        if os.getpid() == self._process:
            super().close()

    @property
    def pid(self) -> int:
        """The backend's process id."""
        return self.info.backend_pid

    def add_job(self, name: object) -> int:
        """Start a run, by this process; returns its job_id. A session that is lost meanwhile shows at the next call."""
        job_id = int(self._call("add_job(%s)", storable(name)))
        with contextlib.suppress(psycopg.OperationalError):
            self.claim(job_id)
        return job_id

    def claim(self, job_id: int, past: PastRun | None = None) -> str | None:
        """Make this session that of an open run, and log which process runs it: this one, or the past run's.

        Returns the role that has cancelled the run, or None. Does nothing with a schema older than version 7.
        """
        self._notices.discard(str(job_id))
        try:
            # In other encodings, anybody could end the session by a notification whose bytes are no text.
            if self.info.parameter_status("server_encoding") in ("UTF8", "LATIN1"):
                with contextlib.suppress(errors.ReadOnlySqlTransaction):  # a standby
                    self.rows("LISTEN jobmon_cancel")
            who = (past.host, past.process) if past else (os.uname().nodename, os.getpid())
            cancelled_by: str | None = self._call("claim_job(%s, %s, %s::integer)", job_id, *who)
        except errors.UndefinedFunction:
            return None
        except BaseException:
            self._notices.add(str(job_id))
            raise
        return cancelled_by

    def reclaim(
        self, job_id: int, locked: bool, where: Callable[[], Mapping[str, Any] | None] = lambda: None
    ) -> tuple[str | None, str | None]:
        """Claim a run again, over another session if this one is lost, and lock it there if it was `locked`.

        `where` gives the parameters of the other session if they may not be those of this one.

        Returns the role that has cancelled the run, or None; and which other run has taken the lock meanwhile, or None.
        """
        if lost := self.lost():
            self.close()
            self.connect(where())
        try:
            cancelled_by = self.claim(job_id)
        except BaseException:
            if lost:  # nothing is written to a run that isn't claimed
                self.close()
            raise
        return cancelled_by, self.lock(job_id) if lost and locked and not cancelled_by else None

    def disturbed(self, job_id: int) -> bool:
        """Whether the session is lost, or the run may have been cancelled, as far as this side has heard; sends nothing."""
        if self.lost():
            return True
        while self._connection.pgconn.notifies():
            self._notices.add(str(job_id))  # whatever it says: others' may have to be read before ours
        return str(job_id) in self._notices

    def add_step(self, job_id: int, action: object) -> int:
        """Start a step; returns its step_id."""
        return int(self._call("add_step(%s, %s)", job_id, storable(action)))

    def end_step(self, step_id: int, alert_code: int, message: object) -> None:
        """End a step, with the status that job_status_text has for the alert code."""
        self._call("update_step(%s, {schema}.status_text(%s), %s)", step_id, alert_code, storable(message))

    def end_job(self, job_id: int, alert_code: int) -> None:
        """End a run."""
        if alert_code == OK:
            self._call("close_job(%s)", job_id)
        else:
            self._call("fail_job(%s, %s)", job_id, alert_code)

    def lock(self, job_id: int) -> str | None:
        """Take for a run the lock that sql_job() takes, too; returns None, or which run has the lock."""
        holder: str | None = self._call("lock_job(%s)", job_id)
        return holder

    def add_past_run(self, run: PastRun) -> int:
        """Log a run that has ended, unless it is logged already; returns its job_id."""
        call = "add_past_run(%s::uuid, %s, %s, %s, %s::integer, %s, %s, %s::bigint, %s::integer)"
        values = (run.key, run.name, run.start, run.end, run.alert_code, run.action, run.message, run.job_id, run.pid)
        job_id = int(self._call(call, *values))
        if run.host:
            self.claim(job_id, run)
        return job_id

    def _call(self, call: str, *values: object) -> Any:
        if os.getpid() != self._process:
            raise psycopg.InterfaceError("this session belongs to another process")
        statement = f"SELECT {{schema}}.{call}".format(schema=quoted(self._schema).replace("%", "%%"))
        for codec in ("utf-8", _codec(self.info.parameter_status("server_encoding") or ""), "ascii"):
            # escape what the database's encoding lacks: the run is logged, and different names stay different
            escaped = [v.encode(codec, "backslashreplace").decode(codec) if isinstance(v, str) else v for v in values]
            try:
                with contextlib.suppress(errors.UntranslatableCharacter):
                    return self.rows(statement, *escaped, mode="READ WRITE")[0][0]
            except errors.InsufficientPrivilege as error:
                if error.diag.message_hint or error.diag.context:  # not ours, but that of a table's trigger, say
                    raise
                why = f'{one_line(error)} to role "{self.user}": GRANT {self._schema}_log TO that role'
                raise errors.InsufficientPrivilege(why) from None
        raise AssertionError(f"ASCII can't be stored in {self.dbname}")


def _codec(encoding: str) -> str:
    """Python's name for an encoding of a PostgreSQL database, or "ascii" where Python lacks it.

    >>> _codec("EUC_JP"), _codec("WIN1252"), _codec("KOI8R"), _codec("MULE_INTERNAL")
    ('euc_jp', 'cp1252', 'koi8-r', 'ascii')
    """
    name = encoding.replace("WIN", "cp").replace("KOI8", "koi8-")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "ascii"
