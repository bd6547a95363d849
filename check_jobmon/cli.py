"""The plugin's command line: arguments in, output and exit status out. The only module of the plugin that prints."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from check_jobmon import __version__
from check_jobmon.arguments import add_connection_arguments, connection_parameters
from check_jobmon.deadline import DeadlineExceeded, Died, within
from check_jobmon.text import clean

STATES = ("ok", "warning", "critical", "unknown")
UNKNOWN = 3
SERVER_SHARE = 0.9
"""The part of the deadline that a query may take on the server, so that its own error comes before the alarm."""


class _Parser(argparse.ArgumentParser):
    """argparse with the plugin's manners: all output on stdout, every way out is exit 3, an error is one line."""

    def error(self, message: str) -> NoReturn:
        print(f"JOBMON UNKNOWN - {clean(message, 500)} (see {self.prog} --help)")
        sys.exit(UNKNOWN)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            print(message, end="")
        sys.exit(UNKNOWN)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give seconds, more than 0 and at most 86400")
    return seconds


def _bytes(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 200:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: give a number of bytes, 200 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="check_jobmon",
        description="Checks the jobs in a PostgreSQL job log: which have failed, are missing, stuck or blocked. "
        "Thresholds and sensitivity come from the table job_check_config.",
        epilog="Exit status: 0, 1, 2 by the worst job; 3 if there is nothing to judge by, or the arguments are wrong. "
        "Example: check_jobmon -H db.example.com -d etl -U nagios",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=80),
    )
    add_connection_arguments(parser)
    group = parser.add_argument_group("check")
    group.add_argument(
        "-t", "--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="bound on the whole run (default: 10)"
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
        "--crashed",
        choices=STATES[:3],
        default="warning",
        metavar="STATE",
        help="state of a job whose run has lost its backend: ok, warning or critical (default: warning)",
    )
    group = parser.add_argument_group("output")
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="a line for each job; -vv the steps of its last run too; -vvv also the connection and times",
    )
    group.add_argument(
        "--max-output", type=_bytes, default=8192, metavar="BYTES", help="bound on all output (default: 8192)"
    )
    group.add_argument("-V", "--version", action="version", version=f"check_jobmon {__version__}\n")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The console script `check_jobmon`. Gives the exit status."""
    arguments = _parser().parse_args(argv)
    server = f'{arguments.host or "the default host"}, database "{arguments.dbname or "by default"}"'
    connection_error = STATES.index(arguments.connection_error)
    try:
        answer = within(arguments.timeout, lambda report: _check(arguments, report))
        status, text = int(answer[0]), answer[1:]
    except DeadlineExceeded as deadline:
        status = connection_error
        text = _failure(
            status, f"no answer within {arguments.timeout:g}s while {deadline.stage or 'starting'} ({server})"
        )
    except Died as death:
        status, text = UNKNOWN, _failure(UNKNOWN, str(death))
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.stdout.write(text)
    return status


def _failure(status: int, reason: str) -> str:
    return f"JOBMON {STATES[status].upper()} - {reason}\n"


def _check(arguments: argparse.Namespace, report: Callable[[str], None]) -> str:
    """The whole check, in the child process: the exit status as one digit, then the output."""
    report("loading its libraries")
    from check_jobmon.database import CheckImpossible, DatabaseUnreachable

    try:
        return _judge(arguments, report)
    except DatabaseUnreachable as error:
        status = STATES.index(arguments.connection_error)
        return f"{status}{_failure(status, str(error))}"
    except CheckImpossible as error:
        return f"{UNKNOWN}{_failure(UNKNOWN, str(error))}"
    except Exception as error:
        reason = (
            f"a bug in check_jobmon {__version__}: {type(error).__name__}: {clean(str(error), 300)} (-vvv shows where)"
        )
        text = _failure(UNKNOWN, reason)
        if arguments.verbose >= 3:
            import traceback

            text += "".join(clean(line) + "\n" for line in traceback.format_exc().splitlines())
        return f"{UNKNOWN}{text}"


def _judge(arguments: argparse.Namespace, report: Callable[[str], None]) -> str:
    import nagiosplugin

    from check_jobmon.check import STATES as JOB_STATES
    from check_jobmon.check import JobContext, JobSummary, MonitoredJobs
    from check_jobmon.database import JobLog
    from check_jobmon.output import compose
    from check_jobmon.perfdata import summary_perfdata

    log = JobLog(connection_parameters(arguments), arguments.schema, arguments.timeout * SERVER_SHARE)
    report("connecting")
    log.connect()
    report("waiting for the check query")
    resource = MonitoredJobs(log)
    summary = JobSummary(resource, arguments.verbose)
    check = nagiosplugin.Check(resource, JobContext(JOB_STATES[arguments.crashed]), summary)
    check()
    if arguments.verbose >= 2:
        report("waiting for the steps")
        summary.steps = log.steps([job.last_job_id for job in resource.jobs if job.last_job_id is not None])

    # Nothing monitored is fine; nagiosplugin would call no results unknown.
    status = int(check.exitcode) if check.results else 0
    long_output = list(check.verbose_str or [])
    if arguments.verbose >= 3:
        long_output.append(f"connection: {clean(log.connection_text)}, in {log.timings.connect:.3f}s")
        long_output.append(
            f'query: job_status.sql on schema "{clean(arguments.schema)}", {len(resource.jobs)} rows, '
            f"in {log.timings.query:.3f}s"
        )
    critical, warning, ok = (summary.count(check.results, JOB_STATES[s]) for s in ("critical", "warning", "ok"))
    text = compose(
        f"{check.name} {resource.words.of(status)} - {check.summary_str}",
        long_output,
        summary_perfdata(critical, warning, ok, log.timings.query),
        [str(result.metric.performance()) for result in check.results],
        arguments.max_output,
    )
    return f"{status}{text}"
