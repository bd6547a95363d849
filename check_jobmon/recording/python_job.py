"""`check_jobmon.job`: logs the body of a `with` statement as a run. Leaves each call to the database to Recorder."""

import contextlib
import ctypes
import logging
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg

from check_jobmon.recording import CRITICAL, LOOK_INTERVAL, OK, WARNING, reason
from check_jobmon.recording.recorder import Recorder
from check_jobmon.schema.scripts import REFUSAL
from check_jobmon.text import clean, storable

MESSAGE_LENGTH = 4000

T = TypeVar("T")


class JobLocked(RuntimeError):
    """The job was not run, because another run of it is under way."""


class JobCancelled(BaseException):
    """Raised in a job's body after cancel_job() has cancelled the run. Not an Exception, so that few bodies catch it."""

    __module__ = "check_jobmon"

    def __init__(self, text: str = "the run was cancelled") -> None:
        super().__init__(text)


class Step:
    """A step under way. Assign `message`, such as `42 rows`, to have it logged when the step ends."""

    def __init__(self) -> None:
        self.message: object = ""
        self.alert_code = OK
        """OK, or WARNING once warn() was called."""

    def warn(self, message: object) -> None:
        """Go on, but have the step, and the job when it ends, fail at level 2 (a warning)."""
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

    Everyone sees the log at once, and it stays when your transactions are rolled back. `conninfo`, and any of libpq's
    parameters by name, say which database has the job log, and `schema` where it is in there. A job object belongs to one
    thread; other threads may have their own. Only the process that began a run logs it: in a forked process the body goes on
    and nothing is logged. A job object may be entered again after its end, which begins another run.

    An exception is logged as the message of the step, fails the step and the job at level 3, or at level 2 if it is one of
    `warn_on`, and is raised again. `step.warn("3 rows rejected")` fails both at level 2, and the body goes on. Names, actions
    and messages may be any objects; their str() is logged.

    If the start of the run can't be logged, entering raises psycopg.Error, and the body is not run. Once it runs, problems
    with the log don't disturb it: a lost connection is replaced, once for each loss, and if that doesn't help, the rest of
    the run is not logged. Then `log_error` is the exception, and the logger `check_jobmon` gets a warning.

    With `lock`, the body is not run while another run with a lock (also sql_job()'s, or `jobmonctl run --lock`'s) of the job is
    under way: that is logged as a failure at level 2, and JobLocked is raised.

    With `required=False`, the body is run even if its start can't be logged, and nothing of it is logged: then `job_id` is 0,
    and the logger gets the warning.
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
        lock: bool = False,
        required: bool = True,
        **parameters: Any,
    ) -> None:
        self.name = storable(name)
        self._parameters = {"conninfo": conninfo, **parameters}
        self._schema = schema
        self._warn_on = warn_on
        self._lock, self._required = lock, required
        if lock and not required:
            raise ValueError("lock=True needs the log, so it can't be with required=False: choose one of them")
        self._level(Exception())  # raises TypeError now, not in the body, if warn_on isn't made of exceptions
        self._recorder: Recorder | None = None
        self._logged: BaseException | None = None
        self._cancelled_by: str | None = None
        self._mutex = threading.RLock()  # for the recorder
        self._process: int | None = None
        """The process that has entered it, while it is entered."""
        self.log_error = None

    def __enter__(self) -> "job":
        if self._process is not None:
            raise RuntimeError(f"a run of {self.name} is under way: make another job() for another run")
        self._alert_code, self._logged, self.log_error, self.job_id = OK, None, None, 0
        self._cancelled_by, self._over = None, threading.Event()
        try:
            self._recorder = self._begin()
        except psycopg.Error as error:
            if self._required or isinstance(error, psycopg.DataError):  # a bad name
                raise
            self.log_error = error
            self._warn("%s runs without being logged: %s", reason(error))
        self._process = os.getpid()
        if self._recorder is not None:
            watch = threading.Thread(target=self._watch, args=[self._over, threading.get_ident()], daemon=True)
            with contextlib.suppress(RuntimeError):  # the limit of threads is reached
                watch.start()
        return self

    def _begin(self) -> Recorder:
        application = f"job {self.name}"[:60].encode("utf-8", "replace").decode()
        recorder = Recorder(self._parameters, self._schema, application)
        try:
            self.job_id = recorder.add_job(self.name)
            if self._lock and (holder := recorder.lock(self.job_id)):
                recorder.end_step(recorder.add_step(self.job_id, REFUSAL), WARNING, f"not run: {holder}")
                recorder.end_job(self.job_id, WARNING)
                raise JobLocked(f"run {self.job_id} of {clean(self.name, 500)} was not run: {holder}")
        except BaseException:
            recorder.close()
            raise
        return recorder

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._process is None:
            return
        try:
            if error is not None and not _is_success(error):
                self._alert_code = max(self._alert_code, self._level(error))
                if error is not self._logged:
                    step_id = self._log(lambda to: to.add_step(self.job_id, "outside of any step"))
                    self._end_step(step_id, self._alert_code, _exception_text(error))
            self._log(lambda to: to.end_job(self.job_id, self._alert_code))
        finally:
            self._over.set()
            with self._mutex if os.getpid() == self._process else contextlib.nullcontext():
                if self._recorder is not None:
                    self._recorder.close()
                self._recorder = self._process = None
        if self.log_error is not None and self.job_id:
            self._warn(f"run {self.job_id} of %s is not logged to its end: %s", reason(self.log_error))

    def _warn(self, message: str, why: str) -> None:
        """Tell the program's log; the message has a place for the name and one for why."""
        logging.getLogger("check_jobmon").warning(message, clean(self.name, 100), clean(why, 500))

    @contextlib.contextmanager
    def step(self, action: object) -> Iterator[Step]:
        """Logs the body of a `with` statement as a step of the run.

        An exception fails the step; the job fails only if the exception leaves its body, too.
        """
        if self._process is None:
            raise RuntimeError(f"no run of {self.name} is under way: use step() within `with job`")
        step_id = self._log(lambda to: to.add_step(self.job_id, action))
        if self._cancelled_by is not None and self._logged is None:
            raise JobCancelled(f"the run was cancelled by {clean(self._cancelled_by, 100)}")
        step, level, exception_text = Step(), OK, ""
        try:
            yield step
        except BaseException as error:
            if not _is_success(error):
                self._logged, level, exception_text = error, self._level(error), _exception_text(error)
            raise
        finally:
            message = "; ".join(filter(None, [storable(step.message), exception_text]))
            self._end_step(step_id, max(step.alert_code, level), message)
            self._alert_code = max(self._alert_code, step.alert_code)

    def _level(self, error: BaseException) -> int:
        return WARNING if isinstance(error, self._warn_on) else CRITICAL

    def _end_step(self, step_id: int | None, alert_code: int, message: str) -> None:
        if step_id is not None:
            self._log(lambda to: to.end_step(step_id, alert_code, message[:MESSAGE_LENGTH]))

    def _log(self, call: Callable[[Recorder], T]) -> T | None:
        """Make a call, over another session if this one is lost. Keeps the first exception in log_error; raises none."""
        if self._recorder is None or self.log_error is not None or os.getpid() != self._process:
            return None
        try:
            with self._mutex:
                try:
                    return call(self._recorder)
                except psycopg.OperationalError:
                    self._reclaim(self._recorder)
                    return call(self._recorder)
        except Exception as error:
            self.log_error = error
            return None

    def _reclaim(self, recorder: Recorder) -> None:
        cancelled_by, holder = recorder.reclaim(self.job_id, self._lock)
        self._cancelled_by = cancelled_by or self._cancelled_by
        if holder:
            self._warn("the session that had the lock of %s was lost, and now %s", holder)

    def _watch(self, over: threading.Event, thread: int) -> None:
        """In a thread of its own: claim the run again when its session is lost, and interrupt its body when it was cancelled."""
        while not over.wait(LOOK_INTERVAL):
            with self._mutex, contextlib.suppress(Exception):  # the next look, or call, tries again
                if over.is_set() or self._recorder is None or self.log_error is not None:
                    return
                if self._recorder.disturbed(self.job_id):
                    self._reclaim(self._recorder)
                    if self._cancelled_by:
                        self._interrupt(thread)

    def _interrupt(self, thread: int) -> None:
        """Have the thread raise JobCancelled as soon as it executes Python code; after time.sleep(), for example."""
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(JobCancelled))


def _exception_text(error: BaseException) -> str:
    try:
        return storable("".join(traceback.format_exception_only(type(error), error)).strip())
    except Exception:  # the traceback module can't format every exception
        return f"{type(error).__name__}: {storable(error)}"


def _is_success(error: BaseException) -> bool:
    """Whether it is sys.exit() with status 0, or the end of a generator whose reader needs no more of it."""
    code = error.code if isinstance(error, SystemExit) else 1
    return isinstance(error, GeneratorExit) or code is None or (isinstance(code, int) and code == 0)
