"""jobmonctl show, like, failed, running: list runs, newest first. They differ in the query that selects the runs."""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from typing import NamedTuple

from check_jobmon.config.connection_options import filled
from check_jobmon.ctl.arguments import add_list_arguments, add_session_arguments, describe
from check_jobmon.ctl.connecting import CommandFailed, JobLog, in_job_log
from check_jobmon.ctl.run_queries import Run, runs, runs_of_job, table
from check_jobmon.ctl.table import show, show_json
from check_jobmon.judging.selection import all_names
from check_jobmon.schema.scripts import job_runs
from check_jobmon.sql_files import sql_file

COLUMNS = """\
STATUS is the status that the run ended with; 'running' while it is under way;
'crashed' if it has not ended and its backend is gone.
WHY is the step that failed and its message, or the step that an open run is at."""


def _show(log: JobLog, name: str | None, number: int) -> list[Run]:
    if name:
        return runs_of_job(log, name, number)
    return runs(log, "SELECT l.job_id FROM @schema@.job_log AS l ORDER BY l.job_id DESC LIMIT %s", number)


def _like(log: JobLog, text: str | None, number: int) -> list[Run]:
    assert text is not None
    source = sql_file("ctl/runs_like.sql").replace("@all_names@", all_names(log.schema).replace("%", "%%"))
    source = source.replace("@job_runs@", job_runs("n.job_name", "asked.number"))
    found = runs(log, source, text, number, number)
    if not found:
        log.require_name(text)
        raise CommandFailed(f"{text} is configured, but no run of it was logged")
    return found


def _failed(log: JobLog, name: str | None, number: int) -> list[Run]:
    condition, parameters = ("l.job_name = upper(%s)", [name]) if name else ("true", [])
    source = sql_file("ctl/runs_failed.sql").replace("@name_filter@", condition)
    found = runs(log, source, *parameters, number, number)
    if not found and name:
        log.require_name(name)
    return found


def _running(log: JobLog, _: str | None, number: int) -> list[Run]:
    return runs(log, sql_file("ctl/runs_running.sql"), number)


class List(NamedTuple):
    """One of the commands: what it lists, its examples, the query, and what it prints if there is no run."""

    what: str
    examples: str
    query: Callable[[JobLog, str | None, int], list[Run]]
    none: str = ""


LISTS = {
    "show": List(
        "Lists the runs of a job, or of all jobs, newest first.",
        "  jobmonctl show -d etl 'nightly etl'\n  jobmonctl show -d etl -n 50",
        _show,
        "no run was ever logged",
    ),
    "like": List(
        "Lists the runs of all jobs whose name contains a text or matches it as a regular\n"
        "expression, newest first. Case doesn't matter.",
        "  jobmonctl like -d etl cube\n  jobmonctl like -d etl '^nightly .* [0-9]+$'",
        _like,
    ),
    "failed": List(
        "Lists the runs that failed (WARNING or CRITICAL), newest first.",
        "  jobmonctl failed -d etl\n  jobmonctl failed -d etl 'nightly etl' -n 3",
        _failed,
        "no run has failed",
    ),
    "running": List(
        "Lists the runs under way: open, and their backend is alive. Newest first.",
        "  jobmonctl running -d etl",
        _running,
        "no job is running",
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of the one that is parser's `command`."""
    command = parser.get_default("command")
    describe(parser, f"{LISTS[command].what}\n{COLUMNS}", LISTS[command].examples)
    if command == "like":
        text = "part of a job's name, or a regular expression"
        parser.add_argument("name", type=filled, metavar="TEXT", help=text)
    elif command != "running":
        text = "name of a job, in any letter case (default: all jobs)"
        parser.add_argument("name", nargs="?", type=filled, metavar="NAME", help=text)
    add_session_arguments(parser)
    add_list_arguments(parser, 10, "runs")


@in_job_log
def run(log: JobLog, arguments: argparse.Namespace) -> int:
    """Print the runs."""
    chosen = LISTS[arguments.command]
    found = chosen.query(log, getattr(arguments, "name", None), arguments.n)
    if arguments.json:
        show_json(asdict(run) for run in found)
    elif found:
        show(table(found))
    else:
        print(chosen.none)
    return 0
