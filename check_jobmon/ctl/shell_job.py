"""jobmonctl run: runs a command as a logged job, even if the database can't be reached. Prints what recording/ reports."""

import argparse
import contextlib
import os
import select
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from check_jobmon.config.connection_options import (
    DEFAULT_SCHEMA,
    add_connection_arguments,
    connection_parameters,
    option,
    path,
    seconds,
    whole_number,
)
from check_jobmon.config.hosts import locate
from check_jobmon.ctl.arguments import add_wide_argument
from check_jobmon.recording import CRITICAL, OK, WARNING, reason
from check_jobmon.recording.background_log import BackgroundLog, connect
from check_jobmon.recording.child_process import Command, End
from check_jobmon.recording.output_tail import LINES
from check_jobmon.recording.signals import Signals
from check_jobmon.text import clean, storable

# imported when it is needed, because the command is to start soon; likewise psycopg
if TYPE_CHECKING:
    from check_jobmon.recording.spool import Spool

DELIVERY_SECONDS = 30.0
"""How long the server may take for a run that is delivered, unless --timeout says otherwise."""
REFUSED = 75
"""Exit status of a run that would have overlapped another: EX_TEMPFAIL of sysexits.h."""
ACTION_LENGTH = 65536
"""Characters. The server keeps 64 KiB of an action."""
STDERR_SECONDS = 1
"""Seconds that a message waits for a reader of stderr who has stalled."""
USAGE = "give a NAME and, after --, a COMMAND; or nothing but --deliver or --spool-status"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "jobmonctl run NAME [option ...] -- COMMAND [ARGUMENT ...]\n"
        "       jobmonctl run --deliver|--spool-status [option ...]"
    )
    option(parser, "name NAME", "name of the job; logged in upper case", _name, nargs="?")
    add_connection_arguments(parser, times=False)
    group = parser.add_argument_group("run")
    option(group, "--warn-on CODES", "exit statuses that are a warning, such as 23,24", _codes, default=frozenset())
    option(group, "--lock", "don't run while another 'run --lock' or a sql_job() of this job is under way")
    limit = "end the command and its descendants after this time, by SIGTERM and, 10 seconds later, SIGKILL "
    limit += "(default: no limit); with --deliver, how long the server may take for each run (default: 30)"
    option(group, "--timeout SECONDS", limit, _running_time)
    kept = f"how many lines of the output are logged, the last ones; 0 logs none (default: {LINES})"
    option(group, "--tail LINES", kept, whole_number(0, 1000, "a number of lines", "one from 0 to 1000"), default=LINES)
    place = "folder for runs that could not be logged yet (default: $XDG_STATE_HOME/check_jobmon/spool; if that "
    place += "variable is not set, ~/.local/state/check_jobmon/spool, for root /var/spool/check_jobmon)"
    option(group, "--spool DIR", place, path)
    option(group, "--deliver", "log the runs that are in the spool folder; run no command")
    option(group, "--spool-status", "list the runs that are in the spool folder; run no command")
    add_wide_argument(group)


def _name(text: str) -> str:
    text = storable(text)
    if not clean(text) or len(text) > 500:
        raise argparse.ArgumentTypeError("a job's name has 1 to 500 characters, at least one of them visible")
    return text


_code = whole_number(1, 255, "an exit status", "numbers from 1 to 255, as 1,23")
_running_time = seconds(lambda number: 0 < number <= 31_536_000, "more than 0 and at most a year's")


def _codes(text: str) -> frozenset[int]:
    return frozenset(_code(code.strip()) for code in text.split(","))


def run(arguments: argparse.Namespace) -> int:
    """Run the command, `arguments.argv`, and log it, or deliver or list what is in the spool; returns the exit status."""
    modes = [bool(arguments.name or arguments.argv), arguments.deliver, arguments.spool_status]
    if sum(modes) != 1 or (modes[0] and not (arguments.name and any(arguments.argv[:1]))):
        arguments.refuse(USAGE)
    if arguments.conninfo and (refusal := _conninfo_refusal(arguments)):
        _print_error(refusal)
        return 2
    if arguments.spool_status:
        return _list_spool(_spool(arguments)[0], arguments.wide)
    if arguments.deliver:
        return _deliver(arguments)
    signals = Signals()
    action = storable(shlex.join(arguments.argv))[:ACTION_LENGTH]
    places = (lambda: _spool(arguments), lambda: locate(arguments))
    log = BackgroundLog(arguments.name, action, *places, _print_error, signals)
    command = Command(arguments.argv, signals, arguments.timeout, arguments.tail)
    with contextlib.ExitStack() as locks:
        if arguments.lock:
            _lock(arguments, log, locks)
        if log.refused is None:
            end = _run(arguments, log, command)
        else:
            end = End(log.refused, REFUSED)
            _log_refusal(log, log.refused)
    status = end.leave()
    if log.hangs():
        # Python's exit would wait for the thread
        os._exit(status)
    return status


def _run(arguments: argparse.Namespace, log: BackgroundLog, command: Command) -> End:
    """Start the command, then what logs it, and wait for both."""
    try:
        end = command.start()
    except OSError as error:
        _print_error(f"{log.name} runs without a log: no process can be started for it ({error.strerror})")
        command.become()
        raise
    if not arguments.lock:
        log.start()
    if end is not None:
        _print_error(end.how)
    else:
        if command.streams.problem:
            _print_error(command.streams.problem)
        end = command.wait(lambda: log.cancelled_by)
        if log.cancelled_by:
            _print_error(f"{log.name} was cancelled by {log.cancelled_by}")
    failed = WARNING if end.regular and end.status in arguments.warn_on else CRITICAL
    output, unread = command.streams.text(), command.streams.unread
    if not output:
        message = f"{end.how} ({unread})" if unread else end.how
    else:
        message = output if end.status == 0 else f"{end.how}: {output}"
    log.finish(OK if end.status == 0 else failed, message)
    command.streams.leave_behind()
    return end


def _lock(arguments: argparse.Namespace, log: BackgroundLog, locks: contextlib.ExitStack) -> None:
    """Lock the job, or set `log.refused`. Also starts the log.

    There are two locks: the database's, against sql_job() and other machines, and a file's, which needs no database.
    """
    unlocked = None
    try:
        spool, target = _spool(arguments)
        log.refused = locks.enter_context(spool.lock(target, log.name))
    except Exception as error:
        unlocked = f"neither the database nor a file in the spool folder can lock it ({reason(error)})"
    log.start(lock=True)
    if log.refused is None and not log.locked:
        log.refused = unlocked


def _log_refusal(log: BackgroundLog, why: str) -> None:
    from check_jobmon.schema.scripts import REFUSAL

    _print_error(f"{log.name} was not run: {why}")
    log.action = REFUSAL
    log.finish(WARNING, f"not run: {why}")


def _conninfo_refusal(arguments: argparse.Namespace) -> str:
    """Why --conninfo must not be used: it has a password, or can't be parsed. Empty if it may be used."""
    try:
        from check_jobmon.connection.errors import CheckImpossible, refuse_password
    except Exception:
        return ""  # psycopg is missing: nothing can be connected to, and the run's log says so
    try:
        refuse_password(connection_parameters(arguments))
    except CheckImpossible as error:
        return str(error)
    return ""


def _spool(arguments: argparse.Namespace) -> "tuple[Spool, str]":
    """The spool, and the job log's key in it.

    The key is made of the options themselves, not of what the configuration file says about them: so the same options find
    the same runs, even if that file changes.
    """
    from check_jobmon.recording.spool import Spool, default_folder, job_log_key

    folder = Path(arguments.spool) if arguments.spool else default_folder()
    return Spool(folder), job_log_key(connection_parameters(arguments), arguments.schema or DEFAULT_SCHEMA)


def _deliver(arguments: argparse.Namespace) -> int:
    """Deliver the runs in the spool, each within the time limit."""
    delivered, refusals = 0, list[str]()
    try:
        spool, target = _spool(arguments)
        if refusal := spool.refusal():
            _print_error(refusal)
            return 1
        if any(spool.runs(target)):
            limit = arguments.timeout or DELIVERY_SECONDS
            with connect(*locate(arguments), seconds=limit) as recorder:
                delivered, refusals = spool.deliver(recorder, target)
    except Exception as error:
        _print_error(f"not all could be delivered: {reason(error)}")
        return 1
    for refusal in refusals:
        _print_error(refusal)
    nothing = "" if delivered or refusals else f": no run for this database waits in {clean(str(spool.folder))}"
    print(f"runs delivered: {delivered}{nothing}")
    return 1 if refusals else 0


def _list_spool(spool: "Spool", wide: bool) -> int:
    """Print the runs that wait in the spool, and the files that were set aside."""
    from check_jobmon.ctl.table import NAME, PROSE, Row, Table, show
    from check_jobmon.recording.past_run import PastRun

    if refusal := spool.refusal():
        _print_error(refusal)
        return 1
    rows = [
        Row((found.name, found.start[:19], f"waits for {found.target}", str(path)), found.alert_code)
        if isinstance(found, PastRun)
        else Row(("-", "-", f"to be set aside: {found}", str(path)))
        for path, found in spool.files()
    ]
    rows += [Row(("-", "-", f"set aside: {why}", str(path))) for path, why in spool.refused()]
    if rows:
        columns = ("JOB", "STARTED (UTC)", "WHY", "FILE")
        show(Table(columns, rows, (0, 1, 0, 2), {"JOB": NAME, "WHY": PROSE}), wide)
    else:
        print(f"nothing is in {clean(str(spool.folder))}")
    return 0


def _print_error(message: str) -> None:
    """Print a line to stderr. If that can't be written, the command's exit status must not change."""
    with contextlib.suppress(OSError):
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        if poll.poll(1000 * STDERR_SECONDS):
            os.write(2, f"jobmonctl run: {clean(message, 1000)}\n".encode("utf-8", "replace"))
