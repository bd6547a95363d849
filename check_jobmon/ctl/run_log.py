"""The log of one run of `jobmonctl run`: in the database, or in the spool. Knows nothing of how a command is run."""

import contextlib
import dataclasses
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from check_jobmon.connection import one_line
from check_jobmon.recording import CONNECT_SECONDS, Recorder
from check_jobmon.schema.scripts import REFUSAL
from check_jobmon.spool import PastRun, Spool, timestamp
from check_jobmon.text import clean

PATIENCE = 5
"""Seconds that are waited for the database after the command, or before it with --lock."""
NO_ANSWER = "it did not answer in time"


def complain(message: str) -> None:
    """One line on stderr, if anybody reads it."""
    with contextlib.suppress(OSError):
        print(f"jobmonctl run: {clean(message, 1000)}", file=sys.stderr, flush=True)


class RunLog:
    """Logs one run in a thread of its own, so that the command waits for nothing.

    The thread connects, starts the run, delivers what the spool has while the command works, and when finish() says so ends
    the run. The session stays open in between: its pid is the run's, and while it lives the run has the job's lock.
    """

    def __init__(self, location: Callable[[], tuple[dict[str, Any], str]], spool: Spool, target: str) -> None:
        self.spool, self.target = spool, target
        self.name = self.action = ""
        self.refused: str | None = None
        """Who keeps the job from running."""
        self.locked = False
        self._location = location
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._lock_wanted = False
        self._lock_tried = threading.Event()
        self._over = threading.Event()
        self._done = threading.Event()
        self._logged = False
        # guards the two: what was given up is not logged later, for the spool has it
        self._mutex = threading.Lock()
        self._given_up = False
        self._problem = ""
        self._refusals: list[str] = []
        self._pid = 0
        self._job_id: int | None = None
        self._end: tuple[int, str] = (0, "")

    def start(self, lock: bool = False) -> None:
        """The run begins now. With `lock`, wait for PATIENCE seconds until it is known whether the lock can be had."""
        self._began, self._clock = time.time(), time.monotonic()
        self._lock_wanted = lock
        self._thread.start()
        if lock and not self._lock_tried.wait(PATIENCE):
            self._give_up()

    def finish(self, alert_code: int, message: str) -> None:
        """The run is over. Wait until that is logged, for PATIENCE seconds, or else keep it in the spool."""
        past = PastRun(
            target=self.target,
            name=self.name,
            start=timestamp(self._began),
            # by a clock that nobody sets
            end=timestamp(self._began + time.monotonic() - self._clock),
            alert_code=alert_code,
            action=self.action,
            message=message,
        )
        self._end = (alert_code, message)
        self._over.set()
        if not self._done.wait(PATIENCE):
            self._give_up()
        if self._logged:
            self._thread.join(2 * PATIENCE)
        else:
            self._keep(dataclasses.replace(past, job_id=self._job_id, pid=self._pid))
        for refusal in self._refusals:
            complain(refusal)

    def hangs(self) -> bool:
        """Whether the thread is still waiting for something."""
        return self._thread.is_alive()

    def deliver_all(self) -> int:
        """Deliver all that the spool has; returns the exit status."""
        delivered = 0
        try:
            if any(self.spool.runs(self.target)):
                with self._connected() as recorder:
                    delivered, self._refusals = self.spool.deliver(recorder, self.target)
        except Exception as error:  # as in _run()
            complain(f"not all could be delivered: {_said(error)}")
            return 1
        for refusal in self._refusals:
            complain(refusal)
        print(f"runs delivered: {delivered}")
        return 1 if self._refusals else 0

    def _connected(self) -> Recorder:
        parameters, schema = self._location()
        parameters = {**parameters, "connect_timeout": CONNECT_SECONDS}
        return Recorder(parameters, schema, f"jobmonctl run {self.name}".strip()[:60])

    def _run(self) -> None:
        try:
            with self._connected() as recorder:
                self._log(recorder)
        except Exception as error:  # whatever it is, it must not cost the command its exit status, nor the run its log
            self._problem = _said(error)
        finally:
            self._lock_tried.set()
            self._done.set()

    def _log(self, recorder: Recorder) -> None:
        with self._mutex:
            if self._given_up:
                return
            self._pid = recorder.pid
        self._job_id = recorder.add_job(self.name)
        if self._lock_wanted and self.refused is None:
            self.refused = recorder.lock(self._job_id)
            self.locked = self.refused is None
        self._lock_tried.set()
        step_id = recorder.add_step(self._job_id, REFUSAL if self.refused else self.action)
        self._deliver(recorder, lambda: not self._over.is_set())
        self._over.wait()
        with self._mutex:
            if self._given_up:
                return
        alert_code, message = self._end
        recorder.end_step(step_id, alert_code, message)
        recorder.end_job(self._job_id, alert_code)
        self._logged = True
        self._done.set()
        until = time.monotonic() + PATIENCE
        self._deliver(recorder, lambda: time.monotonic() < until)

    def _deliver(self, recorder: Recorder, go_on: Callable[[], bool]) -> None:
        _, self._refusals = self.spool.deliver(recorder, self.target, go_on)

    def _give_up(self) -> None:
        with self._mutex:
            self._given_up = True
        self._problem = self._problem or NO_ANSWER

    def _keep(self, past: PastRun) -> None:
        problem = f"the run could not be logged ({self._problem})"
        try:
            path = self.spool.write(past)
        except OSError as error:
            complain(f"{problem}, nor its log kept in {self.spool.folder} ({error.strerror}): it is lost")
            return
        if past.pid and not self._thread.is_alive():
            # the connection was lost, and the server may be there again
            again = threading.Thread(target=self._deliver_again, daemon=True)
            again.start()
            again.join(PATIENCE)
        if path.exists():
            complain(f"{problem}: its log is kept in {path}, and the next run delivers it")

    def _deliver_again(self) -> None:
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(Exception), self._connected() as recorder:
            self._deliver(recorder, lambda: time.monotonic() < until)


def _said(error: Exception) -> str:
    return one_line(error) if isinstance(error, psycopg.Error) else str(error) or repr(error)
