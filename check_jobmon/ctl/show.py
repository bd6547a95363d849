"""jobmonctl show, like, failed, running, history: list runs, newest first. They differ in the SQL file that selects the runs."""

import argparse
from dataclasses import asdict

from check_jobmon.config.connection_options import filled
from check_jobmon.ctl.arguments import add_list_arguments, add_session_arguments
from check_jobmon.ctl.connecting import CommandFailed, JobLog, in_job_log
from check_jobmon.ctl.run_queries import newest_runs, table
from check_jobmon.ctl.table import show, show_json

NONE = {
    "show": "no run was ever logged",
    "failed": "no run has failed",
    "running": "no job is running",
    "history": "no run of this job was ever logged",
}
"""What the commands print if there is no run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of the one that is parser's `command`."""
    command = parser.get_default("command")
    if command == "like":
        text = "part of a job's name, or a regular expression"
        parser.add_argument("name", type=_part_of_a_name, metavar="TEXT", help=text)
    elif command == "history":
        parser.add_argument("name", type=filled, metavar="NAME", help="name of the job (in any letter case)")
    elif command != "running":
        text = "name of a job, in any letter case (default: all jobs)"
        parser.add_argument("name", nargs="?", type=filled, metavar="NAME", help=text)
    add_session_arguments(parser)
    add_list_arguments(parser, 20 if command == "history" else 10, "runs")


def _part_of_a_name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError(
            "it is empty, and every job's name contains that: show lists the runs of all jobs"
        )
    return filled(text)


@in_job_log
def run(log: JobLog, arguments: argparse.Namespace) -> int:
    """Print the runs."""
    command, name = arguments.command, getattr(arguments, "name", None)
    source = {"show": "of_job" if name else "newest", "history": "of_job"}.get(command, command)
    found = newest_runs(log, source, name, arguments.n)
    if command == "like" and not found:
        raise CommandFailed(f"{name} is configured, but no run of it was logged")
    if arguments.json:
        show_json(asdict(run) for run in found)
    elif not found:
        print(NONE[command] + log.extent)
    elif command == "history":
        from check_jobmon.ctl.history import chart

        show(chart(found, log.session.zone), arguments.wide)
    else:
        show(table(found, log.session.zone), arguments.wide)
    return 0
