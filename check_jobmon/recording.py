"""Logs runs from Python: `check_jobmon.job` for programs, Recorder for who wants each call. Reads and judges nothing."""

import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from check_jobmon.connection import CheckImpossible, DatabaseUnreachable, Session, untrusted
from check_jobmon.layout import distrust
from check_jobmon.schema.scripts import quoted

OK, WARNING, CRITICAL = 1, 2, 3
"""The alert codes (reference text, check_job_status)."""

CONNECT_SECONDS = 5
MESSAGE_LENGTH = 4000
KEPT_ALIVE = {"keepalives": 1, "keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4}
"""Nothing is sent while the job works, so a firewall would forget the connection; and a dead server is noticed."""

T = TypeVar("T")


class Recorder:
    """The logging functions of one schema over a session of its own; the run's pid is its backend's.

    Every method raises psycopg.Error, and psycopg.OperationalError where the server is not there (any more).
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        schema: str = "jobmon",
        application: str = "check_jobmon",
        seconds: float | None = None,
    ) -> None:
        self._schema = schema
        defaults = {"application_name": application, "connect_timeout": CONNECT_SECONDS}
        # taken apart, because what is given beside a connection string would win over it
        given: dict[str, Any] = conninfo_to_dict(**parameters)
        self._session = Session({**defaults, **KEPT_ALIVE, **given}, seconds)
        try:
            self._session.connect()
        except (DatabaseUnreachable, CheckImpossible) as error:
            cause = error.__cause__
            raise cause if isinstance(cause, psycopg.Error) else psycopg.OperationalError(str(error)) from None
        try:
            server = self._session.info.server_version
            settings = "SET jobmon.keep_link = on;" + ("SET idle_session_timeout = 0;" if server >= 140000 else "")
            found = self._session.rows(settings + untrusted(schema))
            if found:
                raise errors.InsufficientPrivilege(
                    distrust(found[0][0], schema, self._session.dbname, self._session.user)
                )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session, and with it its link and its locks."""
        self._session.close()

    @property
    def pid(self) -> int:
        """The backend's process id."""
        return self._session.info.backend_pid

    def lost(self) -> bool:
        """Whether the server has ended the session; it is asked nothing."""
        return self._session.lost()

    def add_job(self, name: str) -> int:
        """Start a run; its job_id."""
        return int(self._call("add_job(%s)", name))

    def add_step(self, job_id: int, action: str) -> int:
        """Start a step; its step_id."""
        return int(self._call("add_step(%s, %s)", job_id, action))

    def end_step(self, step_id: int, alert_code: int, message: str) -> None:
        """End a step with the word for an alert code."""
        self._call("update_step(%s, {schema}.status_text(%s), %s)", step_id, alert_code, message)

    def end_job(self, job_id: int, alert_code: int) -> None:
        """End a run."""
        if alert_code == OK:
            self._call("close_job(%s)", job_id)
        else:
            self._call("fail_job(%s, %s)", job_id, alert_code)

    def lock(self, job_id: int) -> str | None:
        """Take the job's lock, which is that of sql_job(), for a run; None, or who has it instead."""
        holder: str | None = self._call("lock_job(%s)", job_id)
        return holder

    def add_past_run(self, *values: object) -> int:
        """Log a run that is over, by the arguments of the function of that name; its job_id."""
        return int(self._call("add_past_run(%s::uuid, %s, %s, %s, %s, %s, %s, %s, %s)", *values))

    def _call(self, call: str, *values: object) -> Any:
        return self._value(f"SELECT {{schema}}.{call}", *values)

    def _value(self, query: str, *values: object) -> Any:
        statement = query.format(schema=quoted(self._schema).replace("%", "%%"))
        try:
            found = self._session.rows(statement, *values, mode="READ WRITE")
        except errors.UntranslatableCharacter:
            # the database's encoding lacks it: better a ? than no log
            plain = [v.encode("ascii", "replace").decode() if isinstance(v, str) else v for v in values]
            found = self._session.rows(statement, *plain, mode="READ WRITE")
        return found[0][0] if found else None


class Step:
    """A step under way. Assign `message` to have it logged with the step's end, such as `42 rows`."""

    def __init__(self) -> None:
        self.message = ""
        self.alert_code = OK

    def warn(self, message: str) -> None:
        """Fail the step, and at its end the job, at level 2 (a warning), and go on."""
        self.message = message
        self.alert_code = WARNING


# lower case, because it is called like a function: with check_jobmon.job(...)
class job:  # noqa: N801
    """Logs the body of a `with` statement as a run of the job, over a connection of its own.

    >>> import check_jobmon
    >>> def nightly(conninfo: str) -> None:
    ...     with check_jobmon.job("NIGHTLY ETL", conninfo) as job:
    ...         with job.step("load facts") as step:
    ...             rows = 42                      # the work itself, on connections of yours
    ...             step.message = f"{rows} rows"
    ...         with job.step("refresh the cube"):
    ...             pass

    The log is seen by all at once, and survives whatever happens to transactions of the caller's. `conninfo`, and any of
    libpq's parameters by name, say where the job log is; `schema` which one it is. A job belongs to one thread, and each
    thread may have one of its own.

    An exception fails the step and the job with its message, at level 3, or at level 2 if it is one of `warn_on`, and is
    raised on. `step.warn("3 rows rejected")` fails both at level 2 and lets the body go on.

    Where the job can't be logged at all, entering raises psycopg.Error, and the body is not run. Later it is not disturbed
    by a log that fails: a lost connection is made anew, once for each loss, and if that doesn't help, the rest of the log is
    given up and the error is raised when the body is through; but an exception of the body's own wins over that.
    """

    job_id: int

    def __init__(
        self,
        name: str,
        conninfo: str = "",
        *,
        schema: str = "jobmon",
        warn_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        **parameters: Any,
    ) -> None:
        self.name = name
        self._parameters = {"conninfo": conninfo, **parameters}
        self._schema = schema
        self._warn_on = warn_on
        self._alert_code = OK
        self._told: BaseException | None = None
        self._lost: psycopg.Error | None = None

    def __enter__(self) -> "job":
        self._recorder = self._connect()
        try:
            self.job_id = self._recorder.add_job(self.name)
        except BaseException:
            self._recorder.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not _is_success(error):
            self._alert_code = self._level(error)
            if error is not self._told:
                step_id = self._log(lambda: self._recorder.add_step(self.job_id, "outside of any step"))
                self._end_step(step_id, self._alert_code, _said(error))
        self._log(lambda: self._recorder.end_job(self.job_id, self._alert_code))
        self._recorder.close()
        if self._lost is not None and error is None:
            raise self._lost

    @contextlib.contextmanager
    def step(self, action: str) -> Iterator[Step]:
        """Logs the body of a `with` statement as a step of the run.

        An exception that is caught between the step and the job has failed the step only.
        """
        step_id = self._log(lambda: self._recorder.add_step(self.job_id, action))
        step = Step()
        try:
            yield step
        except BaseException as error:
            if _is_success(error):
                self._end_step(step_id, step.alert_code, step.message)
            else:
                self._told = error
                self._end_step(step_id, self._level(error), "; ".join(filter(None, [step.message, _said(error)])))
            raise
        self._alert_code = max(self._alert_code, step.alert_code)
        self._end_step(step_id, step.alert_code, step.message)

    def _level(self, error: BaseException) -> int:
        return WARNING if isinstance(error, self._warn_on) else CRITICAL

    def _end_step(self, step_id: int | None, alert_code: int, message: str) -> None:
        if step_id is not None:
            message = message.replace("\0", "")[:MESSAGE_LENGTH]
            self._log(lambda: self._recorder.end_step(step_id, alert_code, message))

    def _connect(self) -> Recorder:
        return Recorder(self._parameters, self._schema, f"job {self.name}"[:60])

    def _log(self, call: Callable[[], T]) -> T | None:
        """Log something, over a new connection if the old one is lost. Raises nothing, but keeps the first failure."""
        if self._lost is not None:
            return None
        try:
            try:
                return call()
            except psycopg.OperationalError:
                self._recorder.close()
                self._recorder = self._connect()
                return call()
        except psycopg.Error as error:
            self._lost = error
            return None


def _said(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(error), error)).strip()


def _is_success(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and error.code in (None, 0)
