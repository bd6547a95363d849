"""jobmonctl report: writes one HTML file with the state of the jobs, the timeline of their runs, and the history of each."""

import argparse

from check_jobmon.config.connection_options import filled, option, path
from check_jobmon.config.export import write_data
from check_jobmon.ctl.arguments import add_session_arguments, age
from check_jobmon.ctl.report.collecting import Log, collecting
from check_jobmon.ctl.report.page import page, templates
from check_jobmon.ctl.targets import Answers, Unanswered, add_targets_argument, over_job_logs
from check_jobmon.judging.result import WORST_FIRST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "the file to write, replaced once the new one is complete; - is standard output"
    option(parser, "-o --output PATH", text, path, required=True)
    option(parser, "--since INTERVAL", "how long ago the timeline begins (default: 7d)", age, default=age("7d"))
    some = "only this job, or the jobs that match this shell pattern; repeatable (default: all)"
    option(parser, "-j --job PATTERN", some, filled, action="append", default=[])
    add_session_arguments(parser)
    add_targets_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Collect, and write the file. Nothing is asked if the page couldn't be made."""
    arguments.templates = templates()
    over_job_logs(arguments, lambda log, _: collecting(log, arguments.job, arguments.since), _write)


def _write(answers: Answers[Log], arguments: argparse.Namespace) -> None:
    logs = []
    for host, found in answers:
        if isinstance(found, Unanswered):
            logs.append(Log(host, 3, f"UNKNOWN: {found}"))
        else:
            at = f" at {arguments.host}" if arguments.host and "/" not in arguments.host else ""
            logs.append(found._replace(host=host or found.host + at))
    logs.sort(key=lambda log: WORST_FIRST.index(log.state))
    write_data(arguments.output, page(arguments.templates, logs, arguments.since))
