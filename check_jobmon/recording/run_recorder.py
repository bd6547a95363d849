"""The log of one run of `jobmonctl run`: in the database, or in the spool. Knows nothing of how a command is run."""

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from check_jobmon.text import clean

# psycopg, and all that needs it, is imported while the command works already
if TYPE_CHECKING:
    from check_jobmon.recording.api import Recorder
    from check_jobmon.recording.spool import PastRun, Spool

PATIENCE = 5
"""Seconds that are waited for the database after the command, or before it with --lock."""
NO_ANSWER = "it did not answer in time"


STDERR_SECONDS = 1
"""Seconds that are waited for a reader of stderr who has stalled."""
LOOK_SECONDS = 1
"""Seconds from one look whether the session is there, which has the lock, to the next."""


def complain(message: str) -> None:
    """One line on stderr, if anybody reads it."""
    with contextlib.suppress(OSError):
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        if poll.poll(1000 * STDERR_SECONDS):
            os.write(2, f"jobmonctl run: {clean(message, 1000)}\n".encode("utf-8", "replace"))


class RunLog:
    """Logs one run in a thread of its own, so that the command waits for nothing.

    The thread connects, starts the run, delivers what the spool has while the command works, and when finish() says so ends
    the run. The session stays open in between: its pid is the run's, and while it lives the run has the job's lock.

    `place` gives the spool and what the job log is called in it, `location` libpq's parameters and the schema. `wait` waits
    for something until a time limit or a signal, and `wake` has it look.
    """

    def __init__(
        self,
        place: "Callable[[], tuple[Spool, str]]",
        location: Callable[[], tuple[dict[str, Any], str]],
        wait: Callable[[Callable[[], object], float], bool],
        wake: Callable[[], None],
    ) -> None:
        self.name = self.action = ""
        self.refused: str | None = None
        """Who keeps the job from running."""
        self.locked = False
        self._place, self._location, self._wait, self._wake = place, location, wait, wake
        self._spool: tuple[Spool, str] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._lock_wanted = False
        self._lock_tried = threading.Event()
        self._over = threading.Event()
        self._done = threading.Event()
        self._gone = threading.Event()
        self._logged = False
        # guards the two: what was given up is not logged later, for the spool has it
        self._mutex = threading.Lock()
        self._given_up = False
        self._problem = ""
        self._refusals: list[str] = []
        self._pid = 0
        self._job_id: int | None = None
        self._end: tuple[int, str] = (0, "")
        self._began, self._clock = time.time(), time.monotonic()

    def start(self, lock: bool = False) -> None:
        """The run began when this was made. With `lock`, wait for PATIENCE seconds until it is known whether it can be had."""
        self._lock_wanted = lock
        try:
            self._thread.start()
        except (RuntimeError, MemoryError) as error:  # as many processes and threads as may be
            self._problem = _said(error)
            for event in (self._lock_tried, self._done, self._gone):
                event.set()
        if lock and not self._wait(self._lock_tried.is_set, PATIENCE):
            self._give_up()

    def finish(self, alert_code: int, message: str) -> None:
        """The run is over. Wait until that is logged, for PATIENCE seconds, or else keep it in the spool."""
        # by a clock that nobody sets
        end = self._began + time.monotonic() - self._clock
        self._end = (alert_code, message)
        self._over.set()
        if not self._wait(self._done.is_set, PATIENCE):
            self._give_up()
        if self._logged:
            self._wait(self._gone.is_set, 2 * PATIENCE)
        else:
            self._keep(end)
        for refusal in dict.fromkeys(self._refusals):
            complain(refusal)

    def hangs(self) -> bool:
        """Whether the thread is still waiting for something."""
        return self._thread.is_alive()

    def spool(self) -> "tuple[Spool, str]":
        """Where past runs are kept, and by what name those of this job log."""
        if self._spool is None:
            self._spool = self._place()
        return self._spool

    def deliver_all(self, seconds: float) -> int:
        """Deliver all that the spool has, each within so long; returns the exit status."""
        delivered = 0
        try:
            spool, target = self.spool()
            if refusal := spool.refusal():
                complain(refusal)
                return 1
            if any(spool.runs(target)):
                with self._connected(seconds) as recorder:
                    delivered, self._refusals = spool.deliver(recorder, target)
        except Exception as error:  # as in _run()
            complain(f"not all could be delivered: {_said(error)}")
            return 1
        for refusal in self._refusals:
            complain(refusal)
        print(f"runs delivered: {delivered}")
        return 1 if self._refusals else 0

    def _connected(self, seconds: float | None = None) -> "Recorder":
        from check_jobmon.recording.api import CONNECT_SECONDS, Recorder

        parameters, schema = self._location()
        parameters = {**parameters, "connect_timeout": CONNECT_SECONDS}
        return Recorder(parameters, schema, f"jobmonctl run {self.name}".strip()[:60], seconds)

    def _run(self) -> None:
        try:
            refusal = self.spool()[0].refusal()
            if refusal:
                complain(refusal)
            with contextlib.ExitStack() as sessions:
                self._log(sessions)
        except (
            BaseException
        ) as error:  # whatever it is, it must not cost the command its exit status, nor the run its log
            self._problem = _said(error)
        finally:
            self._tell(self._lock_tried)
            self._tell(self._done)
            self._tell(self._gone)

    def _tell(self, event: threading.Event) -> None:
        event.set()
        self._wake()

    def _log(self, sessions: contextlib.ExitStack) -> None:
        from check_jobmon.schema.scripts import REFUSAL

        recorder = sessions.enter_context(self._connected())
        with self._mutex:
            if self._given_up:
                return
            self._pid = recorder.pid
        self._job_id = recorder.add_job(self.name)
        if self._lock_wanted and self.refused is None:
            self.refused = recorder.lock(self._job_id)
            self.locked = self.refused is None
        self._tell(self._lock_tried)
        step_id = recorder.add_step(self._job_id, REFUSAL if self.refused else self.action)
        self._deliver(recorder, lambda: not self._over.is_set())
        if self.locked:
            recorder = self._keep_lock(recorder, sessions)
        self._over.wait()
        with self._mutex:
            if self._given_up:
                return
        alert_code, message = self._end
        recorder.end_step(step_id, alert_code, message)
        recorder.end_job(self._job_id, alert_code)
        self._logged = True
        self._tell(self._done)
        until = time.monotonic() + PATIENCE
        self._deliver(recorder, lambda: time.monotonic() < until)

    def _keep_lock(self, recorder: "Recorder", sessions: contextlib.ExitStack) -> "Recorder":
        """Until the command has ended, take the lock again where the session is lost that had it; gives the last session."""
        assert self._job_id is not None
        while not self._over.wait(LOOK_SECONDS):
            if recorder.lost():
                with contextlib.suppress(Exception):
                    recorder = sessions.enter_context(self._connected())
                    if holder := recorder.lock(self._job_id):
                        complain(f"the session that had the lock was lost, and now {holder}")
        return recorder

    def _deliver(self, recorder: "Recorder", go_on: Callable[[], bool]) -> None:
        spool, target = self.spool()
        try:
            self._refusals += spool.deliver(recorder, target, go_on)[1]
        except Exception as error:
            # what others have left costs this run nothing; that the connection is lost its end will notice
            self._refusals.append(f"what is in {spool.folder} could not be delivered: {_said(error)}")

    def _give_up(self) -> None:
        with self._mutex:
            self._given_up = True
        self._problem = self._problem or NO_ANSWER

    def _keep(self, end: float) -> None:
        problem = f"the run could not be logged ({self._problem})"
        try:
            spool, target = self.spool()
            past = self._past(target, end)
            path = spool.write(past)
        except Exception as error:
            where = f" in {self._spool[0].folder}" if self._spool else ""
            complain(f"{problem}, nor its log kept{where} ({_said(error)}): it is lost")
            return
        if past.pid and not self._thread.is_alive():
            # the connection was lost, and the server may be there again
            over = threading.Event()
            with contextlib.suppress(RuntimeError):
                threading.Thread(target=self._deliver_again, args=[over], daemon=True).start()
                self._wait(over.is_set, PATIENCE)
        if path.exists():
            complain(f"{problem}: its log is kept in {path}, and the next run delivers it")

    def _past(self, target: str, end: float) -> "PastRun":
        from check_jobmon.recording.spool import PastRun, timestamp

        alert_code, message = self._end
        return PastRun(
            target=target,
            name=self.name,
            start=timestamp(self._began),
            end=timestamp(end),
            alert_code=alert_code,
            action=self.action,
            message=message,
            job_id=self._job_id,
            pid=self._pid,
        )

    def _deliver_again(self, over: threading.Event) -> None:
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(Exception), self._connected() as recorder:
            self._deliver(recorder, lambda: time.monotonic() < until)
        self._tell(over)


def _said(error: BaseException) -> str:
    if hasattr(error, "diag"):  # psycopg is there, then
        import psycopg

        from check_jobmon.connection.errors import one_line

        if isinstance(error, psycopg.Error):
            return one_line(error)
    return getattr(error, "strerror", None) or str(error) or repr(error)
