"""jobmonctl show, like, failed, running: runs, newest first. They differ in the function that they call."""

import argparse
from typing import TYPE_CHECKING

from check_jobmon.arguments import filled
from check_jobmon.ctl.command import add_command, add_list_arguments

if TYPE_CHECKING:
    from check_jobmon.ctl.connection import Session
    from check_jobmon.ctl.runs import Run

COLUMNS = """\
WHY is the failing step and its message, or the step that an open run is at.
STATUS says 'running' while a run's backend is there and 'crashed' once it has
gone without a word."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the four commands."""
    parser = add_command(
        commands,
        "show",
        run,
        "the runs of a job, or of all jobs",
        f"Lists the runs of a job, or of all jobs, newest first.\n{COLUMNS}",
        "  jobmonctl show -d etl 'nightly etl'\n  jobmonctl show -d etl -n 50",
    )
    parser.add_argument("name", nargs="?", type=filled, metavar="NAME", help="job, in any case (default: all jobs)")
    add_list_arguments(parser, 10, "runs")
    parser.set_defaults(fetch=_show, none="no run was ever logged")

    parser = add_command(
        commands,
        "like",
        run,
        "the runs of the jobs whose name contains a text",
        "Lists the runs of all jobs whose name contains a text, or matches it as a\n"
        f"regular expression, in any case, newest first.\n{COLUMNS}",
        "  jobmonctl like -d etl cube\n  jobmonctl like -d etl '^nightly .* [0-9]+$'",
    )
    parser.add_argument("text", type=filled, metavar="TEXT", help="part of a job's name, or a regular expression")
    add_list_arguments(parser, 10, "runs")
    parser.set_defaults(fetch=_like)

    parser = add_command(
        commands,
        "failed",
        run,
        "the runs that failed",
        f"Lists the runs that ended with the status of alert code 2 or 3, newest first.\n{COLUMNS}",
        "  jobmonctl failed -d etl\n  jobmonctl failed -d etl 'nightly etl' -n 3",
    )
    parser.add_argument("name", nargs="?", type=filled, metavar="NAME", help="job, in any case (default: all jobs)")
    add_list_arguments(parser, 10, "runs")
    parser.set_defaults(fetch=_failed, none="no run has failed")

    parser = add_command(
        commands,
        "running",
        run,
        "the runs under way",
        f"Lists the open runs whose backend is still there, newest first.\n{COLUMNS}",
        "  jobmonctl running -d etl",
    )
    add_list_arguments(parser, 10, "runs")
    parser.set_defaults(fetch=_running, none="no job is running")


def run(arguments: argparse.Namespace) -> int:
    """Print the runs."""
    from check_jobmon.ctl.connection import talk
    from check_jobmon.ctl.runs import json_object, table
    from check_jobmon.ctl.table import show, show_json

    def work(session: "Session") -> int:
        found: list[Run] = arguments.fetch(session, arguments)
        if arguments.json:
            show_json(json_object(run) for run in found)
        elif found:
            show(table(found))
        else:
            print(arguments.none)
        return 0

    return talk(arguments, work)


def _show(session: "Session", arguments: argparse.Namespace) -> "list[Run]":
    from check_jobmon.ctl.runs import runs, runs_of

    if arguments.name:
        return runs_of(session, arguments.name, arguments.n)
    # no show function has all jobs' runs at the price of the newest: this goes down the primary key
    return runs(session, "(SELECT * FROM @schema@.job_log ORDER BY job_id DESC LIMIT %s)", arguments.n)


def _like(session: "Session", arguments: argparse.Namespace) -> "list[Run]":
    from check_jobmon.ctl.connection import NotDone
    from check_jobmon.ctl.runs import runs

    found = runs(session, "@schema@.show_job_like(%s, %s)", arguments.text, arguments.n)
    if not found:
        raise session.unknown(arguments.text) or NotDone(f"{arguments.text} is configured, but no run of it was logged")
    return found


def _failed(session: "Session", arguments: argparse.Namespace) -> "list[Run]":
    from check_jobmon.ctl.runs import WORD, runs

    name = ("%s, ", [arguments.name]) if arguments.name else ("", [])
    source = f"""(
        SELECT s.*
          FROM ({WORD}) AS w
         CROSS JOIN LATERAL @schema@.show_job_status({name[0]}w.alert_text, %s) AS s
         WHERE w.alert_code IN (2, 3)
         ORDER BY s.job_id DESC
         LIMIT %s
    )"""
    found = runs(session, source, *name[1], arguments.n, arguments.n)
    if not found and arguments.name and (unknown := session.unknown(arguments.name)):
        raise unknown
    return found


def _running(session: "Session", arguments: argparse.Namespace) -> "list[Run]":
    from check_jobmon.ctl.runs import runs

    return runs(session, "@schema@.show_running(%s)", arguments.n)
