"""jobmonctl run: runs a command as a logged job, with or without a database to log it in."""

import argparse
import os
import shlex
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from check_jobmon.arguments import add_connection_arguments, connection_parameters, filled
from check_jobmon.text import clean

if TYPE_CHECKING:
    from check_jobmon.recording import Recorder
    from check_jobmon.spool import PastRun, Spool

REFUSED = 75
"""Exit status of a run that would have overlapped another: EX_TEMPFAIL of sysexits.h."""
PATIENCE = 5
"""Seconds that the database may take, after the command, or before it with --lock."""
ACTION_LENGTH = 500
LOCK_ACTION = "see that the job is not already running"

EPILOG = """\
exit status:
  the command's own; 128 + n if signal n killed it; 124 if it timed out, 126 if
  it can't be executed, 127 if it isn't found; 75 if --lock kept it from running;
  2 wrong arguments. With --deliver alone: 0 all delivered, 1 not.

what is logged:
  a run of one step: the command line (no place for a password), and as its
  message the last lines of the output. Exit status 0 ends it as successful, one
  of --warn-on at level 2, any other and a signal at level 3.

without the database:
  the command runs all the same. Its log is kept in the spool folder, one file a
  run, and the next run on the same job log delivers it, with its true times.

examples:
  jobmonctl run 'NIGHTLY DUMP' -d etl -- pg_dump -Fc -f /backup/etl etl
  jobmonctl run SYNC -H db -d etl --lock --warn-on 23,24 -- rsync -a /a/ b:/a/
  jobmonctl run --deliver -H db -d etl
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "run",
        help="run a command as a logged job",
        usage="jobmonctl run NAME [option ...] -- COMMAND [ARGUMENT ...]\n       jobmonctl run --deliver [option ...]",
        description="Run a command, and log it as a run of the job NAME. Its output is passed\n"
        "through as it comes, and signals are passed on to it.",
        epilog=EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=27, width=80),
    )
    parser.add_argument("name", nargs="?", type=_name, metavar="NAME", help="the job's name, capitalized as by add_job()")
    add_connection_arguments(parser)
    group = parser.add_argument_group("run")
    group.add_argument(
        "--warn-on", type=_codes, default=frozenset(), metavar="CODES", help="exit statuses that are a warning: 1,23"
    )
    group.add_argument("--lock", action="store_true", help="don't run while the job is under way, as sql_job()")
    group.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="end the command after so long: TERM, and KILL 10 seconds later",
    )
    group.add_argument(
        "--spool",
        type=Path,
        metavar="DIR",
        help="folder for what could not be logged (default: $XDG_STATE_HOME/check_jobmon/spool, or ~/.local/state for "
        "that; root: /var/spool/check_jobmon)",
    )
    group.add_argument("--deliver", action="store_true", help="log what is in the spool, and run nothing")
    parse = parser.parse_known_args

    def parse_known_args(args: Sequence[str], namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:  # type: ignore[misc]
        """What comes after `--` is the command's: argparse itself would look for options in it."""
        own, command = (list(args), []) if "--" not in args else _split(list(args))
        arguments, unknown = parse(own, namespace)
        if unknown:
            return arguments, unknown
        if arguments.deliver == bool(arguments.name or command):
            parser.error("give a NAME and after -- a COMMAND, or --deliver without either")
        if not arguments.deliver and not (arguments.name and command and command[0]):
            parser.error("give a NAME, and after -- the COMMAND to run")
        arguments.argv = command
        return arguments, []

    parser.parse_known_args = parse_known_args  # type: ignore[assignment,method-assign]
    parser.set_defaults(run=run)


def _split(args: list[str]) -> tuple[list[str], list[str]]:
    at = args.index("--")
    return args[:at], args[at + 1 :]


def _name(text: str) -> str:
    if not text.strip() or len(text) > 500:
        raise argparse.ArgumentTypeError("a job's name has 1 to 500 characters")
    return filled(text)


def _codes(text: str) -> frozenset[int]:
    codes = [code.strip() for code in text.split(",")]
    if not all(code.isascii() and code.isdigit() and 1 <= int(code) <= 255 for code in codes):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of exit statuses: give numbers from 1 to 255, as 1,23")
    return frozenset(int(code) for code in codes)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 31_536_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give seconds, more than 0 and at most a year's")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Run the command and log it, or deliver; returns the exit status."""
    from check_jobmon import command
    from check_jobmon.database import CheckImpossible, refuse_password
    from check_jobmon.spool import Spool, default_folder, target

    parameters = connection_parameters(arguments)
    try:
        refuse_password(parameters)
    except CheckImpossible as error:
        return _complain(str(error), 2)
    spool = Spool(arguments.spool or default_folder())
    log = _Log(parameters, arguments.schema, spool, target(parameters, arguments.schema))
    if arguments.deliver:
        return log.deliver_all()
    signals = command.block_signals()
    log.name = arguments.name
    log.action = _text(shlex.join(arguments.argv), ACTION_LENGTH)
    if arguments.lock:
        status = _run_locked(arguments, log, signals)
    else:
        log.start()
        status = _run(arguments, log, signals)
    sys.stdout.flush()
    sys.stderr.flush()
    if log.is_alive():
        # it hangs in the server's silence, or the resolver's, and nothing is to be waited for any more
        os._exit(status)
    return status


def _run(arguments: argparse.Namespace, log: "_Log", signals: Any) -> int:
    from check_jobmon import command
    from check_jobmon.recording import CRITICAL, OK, WARNING
    from check_jobmon.tail import Tail

    tail = Tail()
    log.begin()
    end = command.run(arguments.argv, signals, arguments.timeout, tail.feed)
    if end.status == 0:
        level = OK
    else:
        level = WARNING if end.regular and end.status in arguments.warn_on else CRITICAL
    if end.status in (command.NOT_FOUND, command.NOT_EXECUTABLE) and not end.regular:
        _complain(clean(end.how, 500), end.status)
    said = tail.text()
    log.finish(level, said if end.status == 0 and said else f"{end.how}: {said}" if said else end.how)
    return end.status


def _run_locked(arguments: argparse.Namespace, log: "_Log", signals: Any) -> int:
    """Two locks: the one in the database excludes sql_job() and other machines, the file works without a database."""
    log.wants_lock = True
    log.begin()
    try:
        with log.spool.lock(log.target, log.name) as holder:
            log.refused = holder
            log.start()
            log.ready.wait(PATIENCE)
            if not log.ready.is_set():
                log.abandon("it did not answer in time")
            if log.refused is None:
                return _run(arguments, log, signals)
    except OSError as error:
        log.start()
        log.ready.wait(PATIENCE)
        if log.refused is None and log.locked:
            return _run(arguments, log, signals)
        log.refused = log.refused or f"neither the database nor a file in {log.spool.folder} has a lock ({error.strerror})"
    _complain(f"{log.name.upper()} was not run: {log.refused}", REFUSED)
    log.action = LOCK_ACTION
    log.finish(2, f"not run: {log.refused}")
    return REFUSED


def _complain(message: str, status: int) -> int:
    print(f"jobmonctl run: {message}", file=sys.stderr, flush=True)
    return status


def _text(text: str, length: int) -> str:
    """What came from the command line as text for the log."""
    return clean(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), length)


class _Log(threading.Thread):
    """Logs one run in a thread of its own, so that the command waits for nothing: connects, starts the run, delivers what
    the spool has, ends the run when finish() says how it ended. The session stays open in between: its pid is the run's.
    """

    def __init__(self, parameters: dict[str, Any], schema: str, spool: "Spool", target: str) -> None:
        super().__init__(daemon=True)
        self.parameters, self.schema, self.spool, self.target = parameters, schema, spool, target
        self.name = self.action = ""
        self.wants_lock = self.locked = False
        self.refused: str | None = None
        """Who keeps the job from running."""
        self.ready = threading.Event()
        """It is known whether the lock can be had, or that there is no database."""
        self._mutex = threading.Lock()
        self._abandoned = False
        self._over = threading.Event()
        self._logged = threading.Event()
        self._ended = threading.Event()
        self._problem = ""
        self._pid = 0
        self._job_id: int | None = None
        self._end: tuple[int, str] = (0, "")

    def begin(self) -> None:
        """The run begins now."""
        self._began, self._clock = time.time(), time.monotonic()

    def abandon(self, problem: str) -> None:
        """Log nothing any more."""
        with self._mutex:
            self._abandoned = True
            self._problem = self._problem or problem

    def finish(self, alert_code: int, message: str) -> None:
        """The run is over. Wait until that is logged, for PATIENCE seconds, or else keep it in the spool."""
        from check_jobmon.spool import PastRun, timestamp

        end = self._began + time.monotonic() - self._clock
        self._end = (alert_code, message)
        self._over.set()
        self._ended.wait(PATIENCE)
        if not self._logged.is_set():
            self.abandon("it did not answer in time")
        if self._logged.is_set():
            self.join(2 * PATIENCE)
            return
        past = PastRun(
            self.target,
            _text(self.name, 500),
            timestamp(self._began),
            timestamp(end),
            alert_code,
            self.action,
            message,
            self._job_id,
            self._pid,
        )
        self._keep(past)

    def _keep(self, past: "PastRun") -> None:
        problem = f"the database can't be reached ({self._problem})"
        try:
            path = self.spool.write(past)
        except OSError as error:
            _complain(f"{problem}, and the run's log can't be kept in {self.spool.folder}: {error.strerror}", 0)
            return
        if self._pid and not self.is_alive():
            # the connection was lost: there may be a server again
            again = threading.Thread(target=self._deliver_again, daemon=True)
            again.start()
            again.join(PATIENCE)
        if path.exists():
            _complain(f"{problem}: the run's log is kept in {path} for the next run to deliver", 0)

    def run(self) -> None:
        """The thread."""
        import psycopg

        from check_jobmon.database import one_line

        try:
            with self._connected() as recorder:
                self._log(recorder)
        except psycopg.Error as error:
            self._problem = one_line(error)
        finally:
            self.ready.set()
            self._ended.set()

    def _connected(self) -> "Recorder":
        from check_jobmon.recording import CONNECT_SECONDS, Recorder

        parameters = {**self.parameters, "connect_timeout": CONNECT_SECONDS}
        return Recorder(parameters, self.schema, _text(f"jobmonctl run {self.name}".strip(), 60))

    def _log(self, recorder: "Recorder") -> None:
        with self._mutex:
            if self._abandoned:
                return
            self._pid = recorder.pid
        if self.wants_lock and self.refused is None:
            self.refused = recorder.lock(_text(self.name, 500))
            self.locked = self.refused is None
        action = LOCK_ACTION if self.refused else self.action
        self.ready.set()
        self._job_id = recorder.add_job(_text(self.name, 500))
        step_id = recorder.add_step(self._job_id, action)
        self._deliver(recorder)
        self._over.wait()
        alert_code, message = self._end
        recorder.end_step(step_id, alert_code, message)
        recorder.end_job(self._job_id, alert_code)
        self._logged.set()
        self._ended.set()
        self._deliver(recorder)

    def _deliver(self, recorder: "Recorder") -> None:
        """Deliver what the spool has, while the command runs, or for PATIENCE seconds after it."""
        was_over = self._over.is_set()
        until = time.monotonic() + PATIENCE
        for path, past in self.spool.runs(self.target):
            if self._over.is_set() and (not was_over or time.monotonic() > until):
                break
            self.spool.deliver_one(recorder, path, past)

    def _deliver_again(self) -> None:
        import psycopg

        try:
            with self._connected() as recorder:
                self.spool.deliver(recorder, self.target, time.monotonic() + PATIENCE)
        except psycopg.Error:
            return

    def deliver_all(self) -> int:
        """Deliver all that the spool has; returns the exit status."""
        import psycopg

        from check_jobmon.database import one_line

        try:
            if not any(self.spool.runs(self.target)):
                return 0
            with self._connected() as recorder:
                delivered, refused = self.spool.deliver(recorder, self.target)
        except psycopg.Error as error:
            return _complain(f"nothing more could be delivered: {one_line(error)}", 1)
        print(f"runs delivered: {delivered}")
        for reason in refused:
            _complain(clean(reason, 500), 1)
        return 1 if refused else 0
