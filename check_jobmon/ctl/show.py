"""jobmonctl show, like, failed, running, history: list runs, newest first. They differ in the SQL file that selects the runs."""

import argparse
from dataclasses import asdict
from typing import NamedTuple

from check_jobmon.config.connection_options import filled
from check_jobmon.ctl.arguments import add_list_arguments, add_session_arguments, describe
from check_jobmon.ctl.connecting import CommandFailed, JobLog, in_job_log
from check_jobmon.ctl.run_queries import newest_runs, table
from check_jobmon.ctl.table import show, show_json

COLUMNS = """
WHY is the failing step and its message, or the step that an open run is at.
STATUS is 'running' while a run's backend is there, and 'crashed' if the backend
has gone without ending the run."""


class List(NamedTuple):
    """One of the commands: its description, its examples, and what it prints if there is no run."""

    description: str
    examples: str
    none: str = ""


LISTS = {
    "show": List(
        f"Lists the runs of a job, or of all jobs, newest first.{COLUMNS}",
        "  jobmonctl show -d etl 'nightly etl'\n  jobmonctl show -d etl -n 50",
        "no run was ever logged",
    ),
    "like": List(
        "Lists the runs of all jobs whose name contains a text, or matches it as a\n"
        f"regular expression, in any case, newest first.{COLUMNS}",
        "  jobmonctl like -d etl cube\n  jobmonctl like -d etl '^nightly .* [0-9]+$'",
    ),
    "failed": List(
        f"Lists the runs that ended with the status of alert code 2 or 3, newest first.{COLUMNS}",
        "  jobmonctl failed -d etl\n  jobmonctl failed -d etl 'nightly etl' -n 3",
        "no run has failed",
    ),
    "running": List(
        f"Lists the open runs whose backend is still there, newest first.{COLUMNS}",
        "  jobmonctl running -d etl",
        "no job is running",
    ),
    "history": List(
        "Draws how long a job's last runs took and how they ended, newest first. A bar is\n"
        "drawn with # if the run succeeded, with x if it failed, with + if it is running.",
        "  jobmonctl history -d etl 'nightly etl'\n  jobmonctl history -d etl cube -n 60",
        "no run of this job was ever logged",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of the one that is parser's `command`."""
    command = parser.get_default("command")
    describe(parser, LISTS[command].description, LISTS[command].examples)
    if command == "like":
        text = "part of a job's name, or a regular expression"
        parser.add_argument("name", type=filled, metavar="TEXT", help=text)
    elif command == "history":
        parser.add_argument("name", type=filled, metavar="NAME", help="job, in any case")
    elif command != "running":
        text = "job, in any case (default: all jobs)"
        parser.add_argument("name", nargs="?", type=filled, metavar="NAME", help=text)
    add_session_arguments(parser)
    add_list_arguments(parser, 20 if command == "history" else 10, "runs")


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
        print(LISTS[command].none)
    elif command == "history":
        from check_jobmon.ctl.history import chart

        show(chart(found))
    else:
        show(table(found))
    return 0
