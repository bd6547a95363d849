"""The log of one run of `jobmonctl run`: written to the database by a thread, or else kept in the spool. Runs no commands."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from check_jobmon.recording import LOOK_INTERVAL, LOOK_LATER, reason
from check_jobmon.recording.signals import Signals

# These import psycopg and more, which takes longer than to start the command: only the thread imports them.
if TYPE_CHECKING:
    from check_jobmon.recording.recorder import Recorder
    from check_jobmon.recording.spool import Spool

DATABASE_WAIT = 5
"""Seconds to wait for the database after the command has ended, or, with a lock, before it starts."""
LOCK_TRIED, RUN_ENDED, THROUGH = 1, 2, 3
"""How far the thread is: the lock is tried, the run's end is logged or never will be, nothing is left to do."""


def connect(parameters: dict[str, Any], schema: str, name: str = "", seconds: float | None = None) -> "Recorder":
    """A session for the log of `jobmonctl run NAME`, in which a statement may take so many seconds. Raises as Recorder()."""
    from check_jobmon.recording.recorder import Recorder

    return Recorder(_parameters(parameters), schema, f"jobmonctl run {name}".strip()[:60], seconds)


def _parameters(given: dict[str, Any]) -> dict[str, Any]:
    from check_jobmon.recording.recorder import CONNECT_SECONDS

    return {**given, "connect_timeout": CONNECT_SECONDS}


class BackgroundLog:
    """Logs one run in a thread, so that the command doesn't wait for the database.

    The thread connects and starts the run. While the command works, it delivers the runs in the spool; finish() has it end
    the run. In between the session stays open: the run's pid is that of its backend, and the session holds the job's lock.

    `spool()` gives the spool and the job log's key, `location()` libpq's parameters and the schema. Both may raise, and are
    called in the thread. `report` prints a line to stderr.
    """

    def __init__(
        self,
        name: str,
        action: str,
        spool: "Callable[[], tuple[Spool, str]]",
        location: Callable[[], tuple[dict[str, Any], str]],
        report: Callable[[str], None],
        signals: Signals,
    ) -> None:
        self.name, self.action = name, action
        self.refused: str | None = None
        """Why the command must not be run: which run has the job's lock."""
        self.locked = False
        """Whether the session has the job's lock."""
        self.cancelled_by: str | None = None
        """The role that has cancelled the run."""
        self._spool, self._location, self._report, self._signals = spool, location, report, signals
        self._stage = 0
        self._over = threading.Event()
        """The command has ended, and `_end` is set."""
        self._logged = False
        self._given_up = False
        # for _given_up and _pid: the thread must not log the run after it was put in the spool
        self._mutex = threading.Lock()
        self._problem = "it did not answer in time"
        self._refusals: list[str] = []
        self._pid = 0
        self._job_id: int | None = None
        self._end: tuple[int, str] = (0, "")
        self._began, self._clock = time.time(), time.monotonic()

    def start(self, lock: bool = False) -> None:
        """Start the thread. With `lock`, wait DATABASE_WAIT seconds until `locked` or `refused` says what came of it.

        The run's start time is when this object was made.
        """
        self._thread = threading.Thread(target=self._run, args=[lock], daemon=True)
        try:
            self._thread.start()
        except (RuntimeError, MemoryError) as error:  # the limit of threads is reached
            self._problem = reason(error)
            self._stage = THROUGH
        if lock and not self._waited(LOCK_TRIED, DATABASE_WAIT):
            self._give_up()

    def finish(self, alert_code: int, message: str) -> None:
        """End the run. If that isn't logged within DATABASE_WAIT seconds, put the run in the spool."""
        # by the monotonic clock: the system's may have been set meanwhile
        end = self._began + time.monotonic() - self._clock
        self._end = (alert_code, message)
        self._over.set()
        if not self._waited(RUN_ENDED, DATABASE_WAIT):
            self._give_up()
        if self._logged:
            self._waited(THROUGH, 2 * DATABASE_WAIT)
        else:
            self._keep(end)
        for refusal in dict.fromkeys(self._refusals):
            self._report(refusal)

    def hangs(self) -> bool:
        """Whether the thread still waits for the server or the resolver."""
        return self._thread.is_alive()

    def _waited(self, stage: int, seconds: float) -> bool:
        """Wait for the thread to be that far; returns whether it is."""
        return self._signals.wait(lambda: self._stage >= stage, seconds)

    def _reach(self, stage: int) -> None:
        self._stage = stage
        self._signals.wake()

    def _connect(self) -> "Recorder":
        return connect(*self._location(), self.name)

    def _run(self, lock: bool) -> None:
        try:
            if refusal := self._spool()[0].refusal():
                self._report(refusal)
            with self._connect() as recorder:
                self._log(recorder, lock)
        except BaseException as error:  # also SystemExit: finish() then puts the run in the spool
            self._problem = reason(error)
        finally:
            self._reach(THROUGH)

    def _log(self, recorder: "Recorder", lock: bool) -> None:
        from check_jobmon.schema.scripts import REFUSAL

        with self._mutex:
            if self._given_up:
                return
            self._pid = recorder.pid
        self._job_id = recorder.add_job(self.name)
        if lock and self.refused is None:
            self.refused = recorder.lock(self._job_id)
            self.locked = self.refused is None
        self._reach(LOCK_TRIED)
        lost: Exception | None = None
        try:
            step_id = recorder.add_step(self._job_id, REFUSAL if self.refused else self.action)
            self._deliver(recorder, lambda: not self._over.is_set())
        except Exception as error:
            if not recorder.lost():
                raise
            lost = error  # Nobody knows whether the step is logged, so the spool will deliver the run; until then, it is claimed.
        pause = LOOK_INTERVAL
        while not self._over.wait(pause):
            if disturbed := recorder.disturbed(self._job_id):
                self._reclaim(recorder, self._job_id)
                disturbed = recorder.disturbed(self._job_id)
            pause = min(2 * pause, LOOK_LATER) if disturbed else LOOK_INTERVAL
        with self._mutex:
            if self._given_up:
                return
        if lost:
            raise lost
        alert_code, message = self._end
        recorder.end_step(step_id, alert_code, message)
        recorder.end_job(self._job_id, alert_code)
        self._logged = True
        self._reach(RUN_ENDED)
        self._deliver_for_a_while(recorder)

    def _reclaim(self, recorder: "Recorder", job_id: int) -> None:
        with contextlib.suppress(Exception):  # the next look tries again
            # the configuration file may say by now that the database is elsewhere
            cancelled_by, holder = recorder.reclaim(job_id, self.locked, lambda: _parameters(self._location()[0]))
            self._pid = recorder.pid
            self.cancelled_by = cancelled_by or self.cancelled_by
            if self.cancelled_by:
                self._signals.wake()
            elif holder:
                self._report(f"the session that had the lock was lost, and now {holder}")

    def _deliver(self, recorder: "Recorder", go_on: Callable[[], bool]) -> None:
        spool, target = self._spool()
        try:
            self._refusals += spool.deliver(recorder, target, go_on)[1]
        except Exception as error:
            # other runs' files must not fail this run; a lost connection shows when the run is ended
            self._refusals.append(f"what is in {spool.folder} could not be delivered: {reason(error)}")

    def _deliver_for_a_while(self, recorder: "Recorder") -> None:
        until = time.monotonic() + DATABASE_WAIT
        self._deliver(recorder, lambda: time.monotonic() < until)

    def _give_up(self) -> None:
        with self._mutex:
            self._given_up = True

    def _keep(self, end: float) -> None:
        """Put the run in the spool; if it was the connection that was lost, try once to deliver it from there."""
        problem, folder = f"the run could not be logged ({self._problem})", ""
        try:
            from check_jobmon.recording.past_run import PastRun, timestamp

            spool, target = self._spool()
            folder = f" in {spool.folder}"
            start, (alert_code, message) = timestamp(self._began), self._end
            run = PastRun(
                target,
                self.name,
                start,
                timestamp(end),
                alert_code,
                self.action,
                message,
                self._job_id,
                self._pid,
                host=os.uname().nodename,
                process=os.getpid(),
            )
            path = spool.write(run)
        except Exception as error:
            self._report(f"{problem}, nor its log kept{folder} ({reason(error)}): it is lost")
            return
        if self._pid and self._stage == THROUGH:
            self._stage = RUN_ENDED
            with contextlib.suppress(RuntimeError):
                threading.Thread(target=self._deliver_again, daemon=True).start()
                self._waited(THROUGH, DATABASE_WAIT)
        if path.exists():
            self._report(f"{problem}: its log is kept in {path}, and the next run delivers it")

    def _deliver_again(self) -> None:
        with contextlib.suppress(Exception), self._connect() as recorder:
            self._deliver_for_a_while(recorder)
        self._reach(THROUGH)
