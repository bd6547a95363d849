"""Logs runs from Python: `check_jobmon.job` for programs, Recorder for who wants each call. Reads and judges nothing."""

import codecs
import contextlib
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from check_jobmon.connection.errors import CheckImpossible, DatabaseUnreachable, one_line
from check_jobmon.connection.session import Session
from check_jobmon.connection.trust import distrust, untrusted
from check_jobmon.sql_files import quoted
from check_jobmon.text import clean, storable

OK, WARNING, CRITICAL = 1, 2, 3
"""The alert codes (reference text, check_job_status)."""

CONNECT_SECONDS = 5
MESSAGE_LENGTH = 4000
KEPT_ALIVE = {"keepalives": 1, "keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4}
"""Nothing is sent while the job works, so a firewall would forget the connection; and a dead server is noticed."""

T = TypeVar("T")


class Recorder:
    """The logging functions of one schema over a session of its own; the run's pid is its backend's.

    Every method raises psycopg.Error, and psycopg.OperationalError where the server is not there (any more). A text may be any
    object: storable() says what is logged of it. The session belongs to the process that made it: in a forked one every call
    raises psycopg.InterfaceError, and close() does nothing.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        schema: str = "jobmon",
        application: str = "check_jobmon",
        seconds: float | None = None,
    ) -> None:
        self._schema = schema = storable(schema)
        self._process = os.getpid()
        defaults = {"application_name": storable(application), "connect_timeout": CONNECT_SECONDS}
        # taken apart, because what is given beside a connection string would win over it
        given: dict[str, Any] = conninfo_to_dict(**{k: storable(v) for k, v in parameters.items() if v is not None})
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
        if os.getpid() == self._process:
            self._session.close()

    @property
    def pid(self) -> int:
        """The backend's process id."""
        return self._session.info.backend_pid

    def lost(self) -> bool:
        """Whether the server has ended the session; it is asked nothing."""
        return self._session.lost()

    def add_job(self, name: object) -> int:
        """Start a run; its job_id."""
        return int(self._call("add_job(%s)", storable(name)))

    def add_step(self, job_id: int, action: object) -> int:
        """Start a step; its step_id."""
        return int(self._call("add_step(%s, %s)", job_id, storable(action)))

    def end_step(self, step_id: int, alert_code: int, message: object) -> None:
        """End a step with the word for an alert code."""
        self._call("update_step(%s, {schema}.status_text(%s), %s)", step_id, alert_code, storable(message))

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

    def add_past_run(
        self,
        key: str,
        name: object,
        start: str,
        end: str,
        alert_code: int,
        action: object,
        message: object,
        job_id: int | None,
        pid: int,
    ) -> int:
        """Log a run that is over; its job_id. Times are as ISO 8601 writes them."""
        call = "add_past_run(%s::uuid, %s, %s, %s, %s::integer, %s, %s, %s::bigint, %s::integer)"
        texts = map(storable, (key, name, start, end))
        return int(self._call(call, *texts, alert_code, storable(action), storable(message), job_id, pid))

    def _call(self, call: str, *values: object) -> Any:
        return self._value(f"SELECT {{schema}}.{call}", *values)

    def _value(self, query: str, *values: object) -> Any:
        if os.getpid() != self._process:
            raise psycopg.InterfaceError("this session belongs to another process")
        statement = query.format(schema=quoted(self._schema).replace("%", "%%"))
        for codec in ("utf-8", _codec(self._session.info.parameter_status("server_encoding") or ""), "ascii"):
            # what can't be stored is escaped: better so than no log, and two names stay two
            storable = [v.encode(codec, "backslashreplace").decode(codec) if isinstance(v, str) else v for v in values]
            with contextlib.suppress(errors.UntranslatableCharacter):
                found = self._session.rows(statement, *storable, mode="READ WRITE")
                return found[0][0] if found else None
        raise AssertionError(f"ASCII can't be stored in {self._session.dbname}")


class Step:
    """A step under way. Assign `message` to have it logged with the step's end, such as `42 rows`."""

    def __init__(self) -> None:
        self.message: object = ""
        self._warned = False

    @property
    def alert_code(self) -> int:
        """What the step has come to so far: OK, or WARNING once warn() was called."""
        return WARNING if self._warned else OK

    def warn(self, message: object) -> None:
        """Fail the step, and at its end the job, at level 2 (a warning), and go on."""
        self.message = message
        self._warned = True


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
    thread may have one of its own. Only the process that began a run logs it: one that is forked off meanwhile runs its part
    of the body and logs nothing. A job that has ended may be entered again, which begins another run.

    An exception fails the step and the job with its message, at level 3, or at level 2 if it is one of `warn_on`, and is
    raised on. `step.warn("3 rows rejected")` fails both at level 2, whatever comes after it, and lets the body go on. Names,
    actions and messages may be any objects; what is logged is their str().

    Where the job can't be logged at all, entering raises psycopg.Error, and the body is not run. Later it is not disturbed
    by a log that fails: a lost connection is made anew, once for each loss, and if that doesn't help, the rest of the log is
    given up. Python's logging then has a warning of the logger `check_jobmon`, and `log_error` is the exception.
    """

    job_id: int
    log_error: Exception | None

    def __init__(
        self,
        name: object,
        conninfo: str = "",
        *,
        schema: str = "jobmon",
        warn_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        **parameters: Any,
    ) -> None:
        self.name = storable(name)
        self._parameters = {"conninfo": conninfo, **parameters}
        self._schema = schema
        self._warn_on = warn_on
        self._level(Exception())  # raises TypeError for what can't be caught, before there is anything to lose
        self._recorder: Recorder | None = None
        self.log_error = None

    def __enter__(self) -> "job":
        if self._recorder is not None:
            raise RuntimeError(f"a run of {self.name} is under way: make another job() for another run")
        recorder = self._connect()
        try:
            self.job_id = recorder.add_job(self.name)
        except BaseException:
            recorder.close()
            raise
        self._recorder = recorder
        self._process = os.getpid()
        self._alert_code = OK
        self._told: BaseException | None = None
        self.log_error = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and not _is_success(error):
                self._alert_code = max(self._alert_code, self._level(error))
                if error is not self._told:
                    step_id = self._log(lambda to: to.add_step(self.job_id, "outside of any step"))
                    self._end_step(step_id, self._alert_code, _said(error))
            self._log(lambda to: to.end_job(self.job_id, self._alert_code))
        finally:
            if self._recorder is not None:
                self._recorder.close()
            self._recorder = None
        if self.log_error is not None:
            said = one_line(self.log_error) if isinstance(self.log_error, psycopg.Error) else str(self.log_error)
            logging.getLogger("check_jobmon").warning(
                "run %s of %s is not logged to its end: %s", self.job_id, clean(self.name, 100), clean(said, 500)
            )

    @contextlib.contextmanager
    def step(self, action: object) -> Iterator[Step]:
        """Logs the body of a `with` statement as a step of the run.

        An exception that is caught between the step and the job has failed the step only.
        """
        if self._recorder is None:
            raise RuntimeError(f"no run of {self.name} is under way: use step() within `with job`")
        step_id = self._log(lambda to: to.add_step(self.job_id, storable(action)))
        step = Step()
        try:
            yield step
        except BaseException as error:
            if _is_success(error):
                self._end_step(step_id, step.alert_code, step.message)
            else:
                self._told = error
                said = filter(None, [storable(step.message), _said(error)])
                self._end_step(step_id, max(step.alert_code, self._level(error)), "; ".join(said))
            raise
        else:
            self._end_step(step_id, step.alert_code, step.message)
        finally:
            self._alert_code = max(self._alert_code, step.alert_code)

    def _level(self, error: BaseException) -> int:
        return WARNING if isinstance(error, self._warn_on) else CRITICAL

    def _end_step(self, step_id: int | None, alert_code: int, message: object) -> None:
        if step_id is not None:
            self._log(lambda to: to.end_step(step_id, alert_code, storable(message)[:MESSAGE_LENGTH]))

    def _connect(self) -> Recorder:
        return Recorder(self._parameters, self._schema, f"job {self.name}"[:60].encode("utf-8", "replace").decode())

    def _log(self, call: Callable[[Recorder], T]) -> T | None:
        """Log something, over a new connection if the old one is lost. Raises nothing, but keeps the first failure."""
        if self._recorder is None or self.log_error is not None or os.getpid() != self._process:
            return None
        try:
            try:
                return call(self._recorder)
            except psycopg.OperationalError:
                self._recorder.close()
                self._recorder = self._connect()
                return call(self._recorder)
        except Exception as error:
            self.log_error = error
            return None


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


def _said(error: BaseException) -> str:
    try:
        return storable("".join(traceback.format_exception_only(type(error), error)).strip())
    except Exception:  # an exception that can't even be formatted
        return f"{type(error).__name__}: {storable(error)}"


def _is_success(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and (error.code is None or (isinstance(error.code, int) and error.code == 0))
