"""jobmonctl run: runs a command as a logged job, with or without a database to log it in."""

import argparse
import contextlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from check_jobmon.config.connection_options import (
    DEFAULT_SCHEMA,
    add_connection_arguments,
    connection_parameters,
    path,
    seconds,
)
from check_jobmon.text import clean, storable

if TYPE_CHECKING:
    from check_jobmon.recording.child_process import Command, End
    from check_jobmon.recording.run_recorder import RunLog
    from check_jobmon.recording.spool import Spool

SECONDS = 30.0
"""How long the server may take for a run that is delivered, unless --timeout says otherwise."""
OK, WARNING, CRITICAL = 1, 2, 3
"""recording.py's, which takes psycopg: that waits until the command works."""
REFUSED = 75
"""Exit status of a run that would have overlapped another: EX_TEMPFAIL of sysexits.h."""
ACTION_LENGTH = 65536
"""Characters. The server keeps 64 KiB of an action."""

EPILOG = """\
exit status:
  the command's own, or killed by the same signal; 124 if it timed out, 126 if
  it can't be executed, 127 if it isn't found; 75 if --lock kept it from
  running; 2 wrong arguments. With --deliver: 0 all delivered, 1 not.

what is logged:
  a run of one step: the command line (no place for a password), and as its
  message the last lines of the output, but not of what it prints at a terminal
  or, with >/dev/null, on stdout. With 2>/dev/null it still has those of stderr,
  where the command has a pipe then: to discard them, redirect in sh -c '...'.
  Exit status 0 ends it as successful, one of --warn-on at level 2, any other
  and a signal at level 3.

without the database:
  the command runs all the same. Its log is kept in the spool folder, one file a
  run, and the next run on the same job log delivers it, with its true times.

examples:
  jobmonctl run 'NIGHTLY DUMP' -d etl -- pg_dump -Fc -f /backup/etl etl
  jobmonctl run SYNC -H db -d etl --lock --warn-on 23,24 -- rsync -a /a/ b:/a/
  jobmonctl run --deliver -H db -d etl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        "jobmonctl run NAME [option ...] -- COMMAND [ARGUMENT ...]\n"
        "       jobmonctl run --deliver|--spool-status [option ...]"
    )
    parser.description = (
        "Run a command, and log it as a run of the job NAME. For the command all is as\n"
        "without: output, signals, environment, terminal."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "name", nargs="?", type=_name, metavar="NAME", help="the job's name, capitalized as by add_job()"
    )
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
        help="end the command after so long, with all its descendants: TERM, and KILL 10 seconds later; with --deliver how "
        "long the server may take for a run (default: 30)",
    )
    group.add_argument(
        "--spool",
        type=_folder,
        metavar="DIR",
        help="folder for what could not be logged (default: $XDG_STATE_HOME/check_jobmon/spool, or ~/.local/state for "
        "that; root: /var/spool/check_jobmon)",
    )
    group.add_argument("--deliver", action="store_true", help="log what is in the spool, and run nothing")
    group.add_argument("--spool-status", action="store_true", help="say what is in the spool, and run nothing")
    parse = parser.parse_known_args

    def parse_known_args(args: Sequence[str], namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:
        """What comes after `--` is the command's: argparse itself would look for options in it."""
        own, command = (list(args), []) if "--" not in args else _split(list(args))
        arguments, unknown = parse(own, namespace)
        if unknown:
            return arguments, unknown
        if arguments.deliver + arguments.spool_status + bool(arguments.name or command) != 1:
            parser.error("give a NAME and after -- a COMMAND, or --deliver or --spool-status without either")
        if not (arguments.deliver or arguments.spool_status) and not (arguments.name and command and command[0]):
            parser.error("give a NAME, and after -- the COMMAND to run")
        arguments.argv = command
        return arguments, []

    parser.parse_known_args = parse_known_args  # type: ignore[assignment,method-assign]


def _split(args: list[str]) -> tuple[list[str], list[str]]:
    at = args.index("--")
    return args[:at], args[at + 1 :]


def _name(text: str) -> str:
    text = storable(text)
    if not clean(text) or len(text) > 500:
        raise argparse.ArgumentTypeError("a job's name has 1 to 500 characters, of which one at least can be seen")
    return text


def _folder(text: str) -> Path:
    return Path(path(text))


def _codes(text: str) -> frozenset[int]:
    codes = [code.strip() for code in text.split(",")]
    if not all(code.isascii() and code.isdigit() and 1 <= int(code) <= 255 for code in codes):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of exit statuses: give numbers from 1 to 255, as 1,23")
    return frozenset(int(code) for code in codes)


def _seconds(text: str) -> float:
    return seconds(text, lambda number: 0 < number <= 31_536_000, "more than 0 and at most a year's")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and log it, or deliver; returns the exit status."""
    from check_jobmon.recording.child_process import Command
    from check_jobmon.recording.run_recorder import RunLog, complain
    from check_jobmon.recording.signals import Signals

    if arguments.conninfo and (refusal := _refusal(arguments)):
        complain(refusal)
        return 2
    if arguments.spool_status:
        return _show_spool(_place(arguments)[0])
    signals = Signals()
    log = RunLog(lambda: _place(arguments), lambda: _location(arguments), signals.wait, signals.wake)
    if arguments.deliver:
        signals.release()
        return log.deliver_all(arguments.timeout or SECONDS)
    log.name = arguments.name
    log.action = storable(shlex.join(arguments.argv))[:ACTION_LENGTH]
    command = Command(arguments.argv, signals, arguments.timeout)
    end = _run_locked(arguments, log, command) if arguments.lock else _run(arguments, log, command)
    status = end.leave()
    if log.hangs():
        # in the server's silence, or the resolver's, and there is nothing left to wait for
        os._exit(status)
    return status


def _refusal(arguments: argparse.Namespace) -> str:
    """Why the connection string is not used."""
    try:
        from check_jobmon.connection.errors import CheckImpossible
        from check_jobmon.connection.session import refuse_password
    except Exception:
        return ""  # nothing can be connected to, and the log says why
    try:
        refuse_password(connection_parameters(arguments))
    except CheckImpossible as error:
        return str(error)
    return ""


def _place(arguments: argparse.Namespace) -> "tuple[Spool, str]":
    """The spool, and what the job log is called in it: by what was said and not what it means, so that the same options mean
    the same spool whatever a file says."""
    from check_jobmon.recording.spool import Spool, default_folder, target

    schema = arguments.schema or DEFAULT_SCHEMA
    return Spool(arguments.spool or default_folder()), target(connection_parameters(arguments), schema)


def _location(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Where the job log is: libpq's parameters and the schema. Raises ConfigFileError."""
    from check_jobmon.config.hosts import locate

    location = locate(arguments)
    return location.parameters, location.schema


def _run(arguments: argparse.Namespace, log: "RunLog", command: "Command") -> "End":
    """The command is started first, and what its log needs comes after."""
    from check_jobmon.recording.run_recorder import complain

    try:
        end = command.start()
    except OSError as error:
        complain(f"{log.name.upper()} runs without a log: no process can be started for it ({error.strerror})")
        command.become()
        raise
    if not arguments.lock:
        log.start()
    if end is not None:
        complain(end.how)
    else:
        if command.problem:
            complain(command.problem)
        end = command.wait()
    failed = WARNING if end.regular and end.status in arguments.warn_on else CRITICAL
    level = OK if end.status == 0 else failed
    said, unread = command.text(), f" ({command.unread})" if command.unread else ""
    log.finish(level, said if end.status == 0 and said else f"{end.how}: {said}" if said else end.how + unread)
    command.leave_behind()
    return end


def _run_locked(arguments: argparse.Namespace, log: "RunLog", command: "Command") -> "End":
    """Two locks: the one in the database excludes sql_job() and other machines, the file works without a database."""
    from check_jobmon.recording.child_process import End
    from check_jobmon.recording.run_recorder import complain
    from check_jobmon.schema.scripts import REFUSAL

    with contextlib.ExitStack() as locks:
        unlocked = ""
        try:
            spool, target = log.spool()
            log.refused = locks.enter_context(spool.lock(target, log.name))
        except Exception as error:
            reason = getattr(error, "strerror", None) or error
            unlocked = f"neither the database nor a file in the spool folder can lock it ({reason})"
        log.start(lock=True)
        if unlocked and log.refused is None and not log.locked:
            log.refused = unlocked
        if log.refused is None:
            return _run(arguments, log, command)
        complain(f"{log.name.upper()} was not run: {log.refused}")
        log.action = REFUSAL
        log.finish(WARNING, f"not run: {log.refused}")
        return End(REFUSED, log.refused)


def _show_spool(spool: "Spool") -> int:
    """Print what waits in the spool, and what was set aside."""
    from check_jobmon.ctl.table import Row, Table, show
    from check_jobmon.recording.run_recorder import complain
    from check_jobmon.recording.spool import PastRun

    if refusal := spool.refusal():
        complain(refusal)
        return 1
    rows = [
        Row((found.name.upper(), found.start[:19], f"waits for {found.target}", str(path)), found.alert_code)
        if isinstance(found, PastRun)
        else Row(("-", "-", f"to be set aside: {found}", str(path)))
        for path, found in spool.files()
    ]
    rows += [Row(("-", "-", f"set aside: {reason}", str(path))) for path, reason in spool.refused()]
    if rows:
        show(Table(("JOB", "STARTED (UTC)", "WHY", "FILE"), tuple(rows)))
    else:
        print(f"nothing is in {clean(str(spool.folder))}")
    return 0
