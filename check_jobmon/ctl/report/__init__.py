"""jobmonctl report: writes one HTML file with the state of the jobs, the timeline of their runs, and the history of each."""

import argparse

from check_jobmon.config.connection_options import filled, option, path
from check_jobmon.config.export import write_data
from check_jobmon.ctl.arguments import add_session_arguments, age, print_error
from check_jobmon.ctl.connecting import FAILURES, JobLog, connected
from check_jobmon.ctl.report.collecting import Log, collect
from check_jobmon.ctl.report.page import page, templates


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "the file to write, replaced once the new one is complete; - is standard output"
    option(parser, "-o --output PATH", text, path, required=True)
    option(parser, "--since INTERVAL", "how long ago the timeline begins (default: 7d)", age, default=age("7d"))
    some = "only this job, or the jobs that match this shell pattern; repeatable (default: all)"
    option(parser, "-j --job PATTERN", some, filled, action="append", default=[])
    add_session_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Collect, and write the file. Nothing is asked if the page couldn't be made."""
    try:
        made = templates()
        log = _one(arguments)
        write_data(arguments.output, page(made, [log], log.host, arguments.since))
    except FAILURES as error:
        print_error(arguments, str(error))
        return 1
    return 0


def _one(arguments: argparse.Namespace) -> Log:
    with connected(arguments) as (session, schema):
        log = JobLog(session, schema, arguments.command)
        host = arguments.host if arguments.host and "/" not in arguments.host else ""
        return collect(log, f"{session.dbname} at {host}" if host else session.dbname, arguments.job, arguments.since)
