"""The plugin's command line: arguments in, output and exit status out. The only module of the plugin that prints."""
# PYTHON_ARGCOMPLETE_OK

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from check_jobmon import __version__
from check_jobmon.config.connection_options import add_connection_arguments, complete, filled, mistake, seconds
from check_jobmon.config.hosts import ConfigFileError, locate
from check_jobmon.judging.result import (
    CONFIGURING,
    CONNECTING,
    QUERYING,
    SERVER_SHARE,
    STATES,
    UNKNOWN,
    failed,
    judged,
    unanswered,
    unexpected,
)
from check_jobmon.plugin.deadline import DeadlineExceeded, Died, OutOfMemory, Terminated, within, write_all
from check_jobmon.plugin.lazy_imports import lazy_imports
from check_jobmon.plugin.output import bounded
from check_jobmon.plugin.targets.options import add_target_arguments, refuse_nonsense
from check_jobmon.text import clean

PERFDATA = ("all", "problems", "summary", "none")


class _Parser(argparse.ArgumentParser):
    """argparse with the plugin's manners: all output on stdout, every way out is exit 3, an error is one line."""

    def error(self, message: str) -> NoReturn:
        if re.search(r"unrecognized arguments:.* -[wc]\b", message):
            message += "; thresholds come from the table job_check_config"
        _print(f"JOBMON UNKNOWN - {mistake(self, message)}\n")
        sys.exit(UNKNOWN)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        sys.exit(UNKNOWN)

    def _print_message(self, message: str, file: object = None) -> None:
        _print(message)


def _print(text: str) -> None:
    """Write to standard output, without a buffer that could fail again when Python ends. Raises OSError."""
    write_all(1, text.encode("utf-8", "replace"))


def _seconds(text: str) -> float:
    return seconds(text, lambda number: 0 < number <= 86400, "more than 0 and at most 86400")


def _bytes(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 200:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: give a number of bytes, 200 or more")
    return int(text)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of failures: give 1 or more")
    return int(text)


DESCRIPTION = """\
Checks the jobs in a PostgreSQL job log: which have failed, are missing, stuck
or blocked. Thresholds and sensitivity come from the table job_check_config;
a job without a row there alerts after some failures in a row (--failures).
"""
EPILOG = """\
exit status:
  0 OK, 1 WARNING, 2 CRITICAL by the worst job; if the server can't be reached,
  what --connection-error says; 3 UNKNOWN if there is nothing to judge by (no
  job log, no right to read it, no such job) or the arguments are wrong
  with --targets the worst of all, in the order CRITICAL, WARNING, UNKNOWN, OK;
  where --submit is given, 0 if all results were taken, whatever they are, else
  2, or 3 if there is something to correct here

the password:
  comes from ~/.pgpass (or PGPASSFILE), a service file or a certificate. There
  is no option for it, because everybody can read the arguments of a process.

examples:
  check_jobmon -H db.example.com -d etl -U nagios
      all jobs of a database
  check_jobmon --service etl -j 'NIGHTLY *' -x 'NIGHTLY T*' --crashed critical
      a group of jobs; where they are is in pg_service.conf
  check_jobmon -H db.example.com -d etl -j cube -vv
      by hand: what is wrong with the job, and how its last run went
  check_jobmon --targets /etc/check_jobmon.yml -t 50 \\
      --submit icinga:https://icinga.example.com:5665 --ca-cert ca.crt
      all databases of a file, once a minute from cron
"""


def command_line() -> argparse.ArgumentParser:
    """The parser."""
    parser = _Parser(
        prog="check_jobmon",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=27, width=80),
        allow_abbrev=False,
    )
    add_connection_arguments(parser)
    group = parser.add_argument_group("check")
    group.add_argument(
        "-j",
        "--job",
        type=filled,
        action="append",
        default=[],
        metavar="NAME",
        help="only this job, or those that match this shell pattern; can be given again (default: all)",
    )
    group.add_argument(
        "-x",
        "--exclude",
        type=filled,
        action="append",
        default=[],
        metavar="NAME",
        help="not this job, or those that match this shell pattern; can be given again (default: none)",
    )
    group.add_argument(
        "--failures",
        type=_count,
        default=3,
        metavar="N",
        help="failures in a row that alert for a job without configuration (default: 3)",
    )
    group.add_argument(
        "--crashed",
        choices=STATES[:3],
        default="warning",
        metavar="STATE",
        help="state of a job whose run has lost its backend: ok, warning or critical (default: warning)",
    )
    group.add_argument(
        "--connection-error",
        choices=STATES,
        default="critical",
        metavar="STATE",
        help="state if the server can't be reached, refuses or doesn't answer: ok, warning, critical or unknown "
        "(default: critical)",
    )
    group.add_argument(
        "-t",
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="bound on the whole run, whatever hangs (default: 10)",
    )
    add_target_arguments(parser)
    group = parser.add_argument_group("output")
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="a line for each job; -vv: and the steps of its last run; -vvv: and the connection, the query, the time "
        "each took (default: a line for each problem)",
    )
    group.add_argument(
        "--perfdata",
        choices=PERFDATA,
        default="all",
        metavar="WHICH",
        help="figures of all jobs, of the problems only, the summary only, or none: all, problems, summary, none "
        "(default: all)",
    )
    group.add_argument(
        "--max-output",
        type=_bytes,
        default=8192,
        metavar="BYTES",
        help="bound on the whole output (default: 8192, which is all that Nagios takes)",
    )
    group.add_argument(
        "-V", "--version", action="version", version=f"check_jobmon {__version__}\n", help="print the version"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The plugin. Gives the exit status."""
    try:
        parser = command_line()
        complete(parser)
        arguments = parser.parse_args(argv)
        refuse_nonsense(parser, arguments)
        if arguments.targets:
            from check_jobmon.plugin.targets.processes import run_targets

            status, text = run_targets(arguments)
        else:
            status, text = _run(arguments)
            text = bounded(text, arguments.max_output)
    except OSError as error:
        status, text = UNKNOWN, f"{unexpected(error).first_line}\n"
    try:
        _print(text)
    except OSError:
        return UNKNOWN  # nowhere to print to: no output can be trusted
    return status


def _run(arguments: argparse.Namespace) -> tuple[int, str]:
    """The exit status and the output."""
    try:
        answer = within(arguments.timeout, lambda report: _check(arguments, report))
    except DeadlineExceeded as deadline:
        status = STATES.index(arguments.connection_error)
        where = ", ".join(
            f"{option} {clean(str(value), 100)}"
            for option, value in (
                ("host", arguments.host),
                ("database", arguments.dbname),
                ("service", arguments.service),
            )
            if value
        )
        return status, _failure(status, unanswered(arguments.timeout, deadline.stage, where))
    except Terminated as signal:
        return UNKNOWN, _failure(UNKNOWN, f"stopped by {signal} before there was an answer: see who sends it, and -t")
    except OutOfMemory as much:
        status = STATES.index(arguments.connection_error)
        return status, _failure(status, str(much))
    except Died as death:
        return UNKNOWN, _failure(UNKNOWN, str(death))
    status, text = int(answer.text[0]), answer.text[1:]
    said = clean(answer.stderr, 500)
    if said and (status == UNKNOWN or text.count("\n") == 1 or arguments.verbose):
        text += f"the libraries said: {said}\n"
    return status, text


def _failure(status: int, reason: str) -> str:
    return f"{failed(status, reason).first_line}\n"


def _check(arguments: argparse.Namespace, report: Callable[[str], None]) -> str:
    """The whole check, in the child process: the exit status as one digit, then the output."""
    started = time.monotonic()
    report("loading libraries")
    with lazy_imports():
        from check_jobmon.connection.errors import CheckImpossible, DatabaseUnreachable

    try:
        return _judge(arguments, report, started + arguments.timeout * SERVER_SHARE)
    except DatabaseUnreachable as error:
        status = STATES.index(arguments.connection_error)
        return f"{status}{_failure(status, str(error))}"
    except (CheckImpossible, ConfigFileError) as error:
        return f"{UNKNOWN}{_failure(UNKNOWN, str(error))}"
    except MemoryError:
        raise  # and gives up what took it
    except Exception as error:
        result = unexpected(error, arguments.verbose)
        return "\n".join((f"{UNKNOWN}{result.first_line}", *result.long_output, ""))


def _judge(arguments: argparse.Namespace, report: Callable[[str], None], deadline: float) -> str:
    with lazy_imports():
        from check_jobmon.connection.session import Session
        from check_jobmon.judging.check import acquire
        from check_jobmon.judging.job_log import Inquiry
        from check_jobmon.judging.selection import Selection
        from check_jobmon.plugin.output import compose

    report(CONFIGURING)
    location = locate(arguments)
    session = Session(location.parameters)
    log = Inquiry(session, location.schema, deadline)
    report(CONNECTING)
    session.connect()
    report(QUERYING)
    selection = Selection(tuple(arguments.job), tuple(arguments.exclude))
    jobs = session.ask(acquire(log, selection, arguments.failures, arguments.verbose >= 2))
    result = judged(log, jobs, arguments)
    return f"{result.state}{compose(result.first_line, result.long_output, result.perfdata, arguments.max_output)}"
