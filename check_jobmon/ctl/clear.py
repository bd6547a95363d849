"""jobmonctl clear: deletes old runs with job_log_clear(), shows its progress, and stops it on a signal."""

import argparse
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait

from psycopg import errors

from check_jobmon.config.connection_options import option
from check_jobmon.config.durations import NotADuration, parse
from check_jobmon.ctl.arguments import add_session_arguments, add_yes_argument, confirm
from check_jobmon.ctl.connecting import CommandFailed, JobLog, connected, in_job_log
from check_jobmon.ctl.table import console
from check_jobmon.ctl.waiting import silently
from check_jobmon.sql_files import sql_file
from check_jobmon.text import clean, counted, heading

COUNT = "SELECT count(*) FROM @schema@.job_log WHERE start_time < %s::timestamptz"
KEPT = "SELECT left(job_name, 500) FROM @schema@.job_log_kept_before(%s::timestamptz) ORDER BY job_name"
PROGRESS = 10.0
"""Seconds between two lines of progress where there is no bar."""
RESEND = 10.0
"""Seconds after which a cancel request is sent again: it has no effect if it arrives between two statements."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "how old a run may get, an interval of PostgreSQL with its unit: '90 days'"
    option(parser, "interval INTERVAL", text, _interval)
    add_session_arguments(parser)
    add_yes_argument(parser)
    option(parser, "-q --quiet", "print nothing but errors")


def _interval(text: str) -> str:
    try:
        parse(text)  # refuses a number without a unit, which PostgreSQL takes for seconds
    except NotADuration as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None
    return text


@in_job_log
def run(log: JobLog, arguments: argparse.Namespace) -> None:
    """Preview, ask, delete and show the progress, report."""
    before, old, preview = _plan(log, arguments.interval)
    if not (arguments.quiet and arguments.yes):
        print(preview, flush=True)
    if old:
        confirm("Delete them?", arguments)
    with connected(arguments) as (session, schema):
        clearing = JobLog(session, schema)
        session.seconds = None  # it may take hours; a signal stops it
        pid = session.info.backend_pid
        _clear(log, clearing, arguments.interval, before, old, arguments.quiet)
    if not arguments.quiet:
        for (message,) in log.rows(sql_file("ctl/clear_messages.sql"), pid):
            print(clean(message or ""))


def _plan(log: JobLog, interval: str) -> tuple[str, int, str]:
    """The time before which a run must have started to be deleted, the number of such runs, and the preview.

    Raises CommandFailed.
    """
    text, negative, shown, before, may_clear, may_see_kept = log.rows(sql_file("ctl/clear_plan.sql"), interval)[0]
    if negative:
        raise CommandFailed(f"the interval is negative ({text}): give how old a run may get, for example '90 days'")
    if may_clear is False:
        raise log.refused("call job_log_clear()")
    old = log.rows(COUNT, before)[0][0]
    stay = []
    if under_way := log.rows(sql_file("ctl/clear_under_way.sql"), before)[0][0]:
        stay.append(f"{under_way} under way")
    if may_see_kept and (kept := [clean(row[0], 60) for row in log.rows(KEPT, before)]):
        more = f" and {len(kept) - 5} more" if len(kept) > 5 else ""
        stay.append(f"{counted(len(kept), 'last run')} that the check needs ({', '.join(kept[:5])}{more})")
    if not may_see_kept:
        stay.append("those that the check needs")
    preview = f"{counted(old, 'run')} started before {heading(shown, log.session.zone)}, {text} ago"
    return before, old, preview + (f"; of these stay {' and '.join(stay)}" if old and stay else "")


def _clear(log: JobLog, clearing: JobLog, interval: str, before: str, total: int, quiet: bool) -> None:
    """Call job_log_clear() in a thread and show its progress. Raises CommandFailed if a signal stopped it."""
    call = f"{sql_file('ctl/no_time_limits.sql')};SELECT @schema@.job_log_clear(%s::interval)"
    pid = clearing.session.info.backend_pid
    with _stopped_by_signals() as stop, silently(), progress(total, "deleted", quiet) as show_progress:
        with ThreadPoolExecutor(1) as pool:
            cleared = pool.submit(clearing.rows, call, interval, write=True)
            try:
                cancelled = looked = float("-inf")
                while not wait([cleared], 0.1).done:
                    now = time.monotonic()
                    if stop.is_set() and now - cancelled > RESEND:
                        print("stopping after this batch", flush=True)
                        clearing.session.cancel()
                        cancelled = now
                    elif now - looked > 0.2:
                        show_progress(log.rows(sql_file("ctl/clear_progress.sql"), pid)[0][0])
                        looked = now
            finally:
                if not cleared.done():
                    clearing.session.cancel()
        left = log.rows(COUNT, before)[0][0]
        show_progress(total - left)
    try:
        cleared.result()
    except errors.QueryCanceled:
        if not stop.is_set():
            raise
        deleted = counted(total - left, "run")
        raise CommandFailed(f"stopped: {deleted} deleted, {left} still there; run it again to go on") from None


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that is set on Ctrl-C, SIGTERM or a hangup; signals that nohup ignores stay ignored."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def progress(total: int, what: str, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Gives a function to call with how much of the total is done: it moves a bar on a terminal, else prints a line at times.

    `what` stands behind the numbers: "deleted", "percent done".
    """
    on = None if quiet else console()
    if on is not None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TextColumn(f"{{task.completed}} of {{task.total}} {what}"), TimeRemainingColumn())
        with Progress(*columns, console=on) as bar:
            task = bar.add_task("", total=total)
            yield lambda done: bar.update(task, completed=done)
        return
    printed = time.monotonic()

    def show_progress(done: int) -> None:
        nonlocal printed
        if not quiet and time.monotonic() - printed > PROGRESS:
            printed = time.monotonic()
            print(f"{done} of {total} {what}", flush=True)

    yield show_progress
