"""jobmonctl clear: delete old runs by job_log_clear(), watch it at work, and stop it when told to."""

import argparse
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from check_jobmon.config.connection_options import filled
from check_jobmon.ctl.parser import add_command, add_yes_argument, agreed
from check_jobmon.text import clean, counted

if TYPE_CHECKING:
    from check_jobmon.ctl.runner import JobLog

PLAN = """
SELECT i.i::text, i.i < '0',
       to_char(b.before, 'YYYY-MM-DD HH24:MI:SS OF'),
       b.before::text,
       has_function_privilege(to_regprocedure('@schema@.job_log_clear(interval)'), 'EXECUTE'),
       coalesce(has_function_privilege(to_regprocedure('@schema@.job_log_kept()'), 'EXECUTE'), false)
  FROM (SELECT %s::interval AS i) AS i
 CROSS JOIN LATERAL (
        -- beyond a thousand years the difference could leave the range of a timestamp
        SELECT CASE WHEN i.i < '1000 years' THEN now() - i.i ELSE '1000-01-01' END AS before
       ) AS b
"""
COUNT = "SELECT count(*) FROM @schema@.job_log WHERE start_time < %s::timestamptz"
UNDER_WAY = """
SELECT count(*)
  FROM @schema@.job_log AS l
  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
 WHERE l.end_time IS NULL
   AND (l.pid < 0 OR a.pid IS NOT NULL AND coalesce(a.backend_start <= l.start_time, true))
   AND l.start_time < %s::timestamptz
"""
KEPT = "SELECT left(job_name, 500) FROM @schema@.job_log_kept() WHERE start_time < %s::timestamptz ORDER BY job_name"
LOGGED = """
SELECT left(d.message, 2000)
  FROM @schema@.job_detail AS d
 WHERE d.job_id = (SELECT l.job_id
                     FROM @schema@.job_log AS l
                    WHERE l.job_name = 'JOB LOG CLEAR' AND l.end_time IS NOT NULL AND l.pid = %s
                    ORDER BY l.end_time DESC
                    LIMIT 1)
 ORDER BY d.step_id
"""
TELL = 10.0
"""Seconds between two lines of progress where there is no bar."""
RESEND = 10.0
"""Seconds after which a cancel request is sent again: one that comes between two statements hits neither."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "clear",
        run,
        "delete old runs",
        "Deletes the runs that started longer ago than the interval, with their steps, in\n"
        "batches, and logs that as a run of the job JOB LOG CLEAR. Keeps what is under\n"
        "way and what the check needs. Ctrl-C or SIGTERM stops it at any moment: what is\n"
        "deleted is deleted, and the next clear goes on with the rest. It takes the\n"
        "log's owner, or EXECUTE on job_log_clear.",
        "  jobmonctl clear -d etl '90 days'\n  jobmonctl clear -d etl -q -y '90 days'       from cron",
        "0 done, 1 not done or stopped before its end (stderr says so in one line),\n  2 wrong arguments",
    )
    parser.add_argument(
        "interval", type=filled, metavar="INTERVAL", help="how old a run may get, as PostgreSQL writes it: '90 days'"
    )
    add_yes_argument(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def run(arguments: argparse.Namespace) -> int:
    """Preview, ask, delete and show how far it is, report."""
    from check_jobmon.ctl.runner import JobLog, talk

    def work(log: "JobLog") -> int:
        before, old, preview = _plan(log, arguments.interval)
        if not (arguments.quiet and arguments.yes):
            print(preview, flush=True)
        if old and not agreed("Delete them?", arguments):
            return 1
        clearing = JobLog(arguments)
        with clearing.session:
            clearing.session.seconds = None  # it may take hours, and is told to stop by a signal
            pid = clearing.session.info.backend_pid
            _clear(log, clearing, arguments, before)
        if not arguments.quiet:
            for (message,) in log.rows(LOGGED, pid):
                print(clean(message or ""))
        return 0

    return talk(arguments, work)


def _plan(log: "JobLog", interval: str) -> tuple[str, int, str]:
    """Before when a run must have started to go, how many have, and what to say of them. Raises NotDone."""
    from check_jobmon.ctl.runner import NotDone

    text, negative, shown, before, may_clear, may_see_kept = log.rows(PLAN, interval)[0]
    if negative:
        raise NotDone(f"the interval is negative ({text}): give how old a run may get, '90 days', say")
    if may_clear is False:
        raise NotDone(
            f'role "{log.session.user}" may not call job_log_clear(): it takes the log\'s owner, or GRANT '
            f"EXECUTE ON FUNCTION {log.schema}.job_log_clear(interval) TO that role"
        )
    old = log.rows(COUNT, before)[0][0]
    stay = []
    if under_way := log.rows(UNDER_WAY, before)[0][0]:
        stay.append(f"{under_way} under way")
    if may_see_kept and (kept := [clean(row[0], 60) for row in log.rows(KEPT, before)]):
        more = f" and {len(kept) - 5} more" if len(kept) > 5 else ""
        stay.append(f"{counted(len(kept), 'last run')} that the check needs ({', '.join(kept[:5])}{more})")
    if not may_see_kept:
        stay.append("those that the check needs")
    preview = f"{counted(old, 'run')} started before {shown}, {text} ago"
    return before, old, preview + (f"; of these stay {' and '.join(stay)}" if old and stay else "")


def _clear(log: "JobLog", clearing: "JobLog", arguments: argparse.Namespace, before: str) -> None:
    """Call job_log_clear() in a thread and watch it. Raises NotDone if it was told to stop."""
    from psycopg import errors

    from check_jobmon.ctl.runner import NotDone

    failure: list[Exception] = []

    def call() -> None:
        try:
            # however short a time the database gives its sessions' statements
            limits = "SET LOCAL statement_timeout = 0;"
            if clearing.session.info.server_version >= 170000:
                limits += "SET LOCAL transaction_timeout = 0;"
            call = limits + "SELECT @schema@.job_log_clear(%s::interval)"
            clearing.rows(call, arguments.interval, write=True)
        except Exception as error:
            failure.append(error)

    total = left = log.rows(COUNT, before)[0][0]
    thread = threading.Thread(target=call, daemon=True)
    with _told_to_stop() as stop, _progress(total, arguments.quiet) as tell:
        cancelled = looked = float("-inf")
        pause = 0.2
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.1)
                now = time.monotonic()
                if stop.is_set() and now - cancelled > RESEND:
                    print("stopping after this batch", flush=True)
                    clearing.session.cancel()
                    cancelled = now
                elif now - looked > pause:
                    left = log.rows(COUNT, before)[0][0]
                    looked = time.monotonic()
                    # a tenth of the time at most, for counting a long log is work for the server
                    pause = max(0.2, 9 * (looked - now))
                    tell(total - left)
        finally:
            if thread.is_alive():
                clearing.session.cancel()
                thread.join()
        left = log.rows(COUNT, before)[0][0]
        tell(total - left)
    if failure and stop.is_set() and isinstance(failure[0], errors.QueryCanceled):
        raise NotDone(f"stopped: {counted(total - left, 'run')} deleted, {left} still there; run it again to go on")
    if failure:
        raise failure[0]


@contextlib.contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """Set once Ctrl-C, SIGTERM or a hangup says so; what nohup ignores stays ignored."""
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
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """What to call with the number of runs deleted so far: a bar where that can be, else a line now and then."""
    from check_jobmon.ctl.table import console

    on = None if quiet else console()
    if on is not None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TextColumn("{task.completed} of {task.total} deleted"), TimeRemainingColumn())
        with Progress(*columns, console=on) as progress:
            task = progress.add_task("", total=total)
            yield lambda deleted: progress.update(task, completed=deleted)
        return
    told = time.monotonic()

    def tell(deleted: int) -> None:
        nonlocal told
        if not quiet and time.monotonic() - told > TELL:
            told = time.monotonic()
            print(f"{deleted} of {total} deleted", flush=True)

    yield tell
