"""jobmonctl run: runs a command as a logged job, with or without a database to log it in."""

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from check_jobmon.arguments import add_connection_arguments, connection_parameters, filled, seconds
from check_jobmon.text import clean

if TYPE_CHECKING:
    from signal import Signals

    from check_jobmon.ctl.run_log import RunLog

REFUSED = 75
"""Exit status of a run that would have overlapped another: EX_TEMPFAIL of sysexits.h."""
ACTION_LENGTH = 500

EPILOG = """\
exit status:
  the command's own; 128 + n if signal n killed it; 124 if it timed out, 126 if
  it can't be executed, 127 if it isn't found; 75 if --lock kept it from
  running; 2 wrong arguments. With --deliver: 0 all delivered, 1 not.

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
        help="end the command after so long: TERM, and KILL 10 seconds later",
    )
    group.add_argument(
        "--spool",
        type=_folder,
        metavar="DIR",
        help="folder for what could not be logged (default: $XDG_STATE_HOME/check_jobmon/spool, or ~/.local/state for "
        "that; root: /var/spool/check_jobmon)",
    )
    group.add_argument("--deliver", action="store_true", help="log what is in the spool, and run nothing")
    parse = parser.parse_known_args

    def parse_known_args(args: Sequence[str], namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:
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


def _folder(text: str) -> Path:
    return Path(filled(text))


def _codes(text: str) -> frozenset[int]:
    codes = [code.strip() for code in text.split(",")]
    if not all(code.isascii() and code.isdigit() and 1 <= int(code) <= 255 for code in codes):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of exit statuses: give numbers from 1 to 255, as 1,23")
    return frozenset(int(code) for code in codes)


def _seconds(text: str) -> float:
    return seconds(text, lambda number: 0 < number <= 31_536_000, "more than 0 and at most a year's")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and log it, or deliver; returns the exit status."""
    from check_jobmon import command
    from check_jobmon.connection import CheckImpossible, refuse_password
    from check_jobmon.ctl.run_log import RunLog, complain
    from check_jobmon.spool import Spool, default_folder, target

    command.open_standard_streams()
    # None where they were closed
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    parameters = connection_parameters(arguments)
    try:
        refuse_password(parameters)
    except CheckImpossible as error:
        complain(str(error))
        return 2
    spool = Spool(arguments.spool or default_folder())
    refusal = spool.refusal()
    if refusal:
        complain(refusal)
        if arguments.deliver:
            return 1
    # what was said and not what it means, so that the same options mean the same spool whatever a file says
    log = RunLog(lambda: _location(arguments), spool, target(parameters, arguments.schema))
    if arguments.deliver:
        return log.deliver_all()
    signals = command.block_signals()
    log.name = _text(arguments.name, 500)
    log.action = _text(shlex.join(arguments.argv), ACTION_LENGTH)
    if arguments.lock:
        status = _run_locked(arguments, log, signals)
    else:
        log.start()
        status = _run(arguments, log, signals)
    if log.hangs():
        # in the server's silence, or the resolver's, and there is nothing left to wait for
        os._exit(status)
    return status


def _location(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Where the job log is: libpq's parameters and the schema. Raises HostsUnusable."""
    from check_jobmon.hosts import locate

    location = locate(arguments)
    return location.parameters, location.schema


def _run(arguments: argparse.Namespace, log: "RunLog", signals: "set[Signals]") -> int:
    from check_jobmon import command
    from check_jobmon.ctl.run_log import complain
    from check_jobmon.recording import CRITICAL, OK, WARNING
    from check_jobmon.tail import Tail

    tail = Tail()
    end = command.run(arguments.argv, signals, arguments.timeout, tail.feed)
    failed = WARNING if end.regular and end.status in arguments.warn_on else CRITICAL
    level = OK if end.status == 0 else failed
    if end.status in (command.NOT_FOUND, command.NOT_EXECUTABLE) and not end.regular:
        complain(end.how)
    said = tail.text()
    log.finish(level, said if end.status == 0 and said else f"{end.how}: {said}" if said else end.how)
    return end.status


def _run_locked(arguments: argparse.Namespace, log: "RunLog", signals: "set[Signals]") -> int:
    """Two locks: the one in the database excludes sql_job() and other machines, the file works without a database."""
    from check_jobmon.ctl.run_log import complain
    from check_jobmon.schema.scripts import REFUSAL

    with contextlib.ExitStack() as locks:
        unlocked = ""
        try:
            log.refused = locks.enter_context(log.spool.lock(log.target, log.name))
        except OSError as error:
            unlocked = f"neither the database nor a file in {log.spool.folder} can lock it ({error.strerror})"
        log.start(lock=True)
        if unlocked and log.refused is None and not log.locked:
            log.refused = unlocked
        if log.refused is None:
            return _run(arguments, log, signals)
        complain(f"{log.name.upper()} was not run: {log.refused}")
        log.action = REFUSAL
        log.finish(2, f"not run: {log.refused}")
        return REFUSED


def _text(text: str, length: int) -> str:
    """What came from the command line as text for the log."""
    return clean(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), length)
