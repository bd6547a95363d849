"""jobmonctl show, like, failed, running: runs, newest first. They differ in the function that they call."""

import argparse
from typing import TYPE_CHECKING

from check_jobmon.config.connection_options import filled
from check_jobmon.ctl.parser import add_command, add_list_arguments

if TYPE_CHECKING:
    from check_jobmon.ctl.run_queries import Run
    from check_jobmon.ctl.runner import JobLog

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
    from check_jobmon.ctl.run_queries import json_object, table
    from check_jobmon.ctl.runner import talk
    from check_jobmon.ctl.table import show, show_json

    def work(log: "JobLog") -> int:
        found: list[Run] = arguments.fetch(log, arguments)
        if arguments.json:
            show_json(json_object(run) for run in found)
        elif found:
            show(table(found))
        else:
            print(arguments.none)
        return 0

    return talk(arguments, work)


def _show(log: "JobLog", arguments: argparse.Namespace) -> "list[Run]":
    from check_jobmon.ctl.run_queries import runs, runs_of

    if arguments.name:
        return runs_of(log, arguments.name, arguments.n)
    return runs(log, "SELECT l.job_id FROM @schema@.job_log AS l ORDER BY l.job_id DESC LIMIT %s", arguments.n)


def _like(log: "JobLog", arguments: argparse.Namespace) -> "list[Run]":
    from check_jobmon.ctl.run_queries import runs
    from check_jobmon.ctl.runner import NotDone
    from check_jobmon.judging.selection import all_names
    from check_jobmon.schema.scripts import job_runs

    # matching in any case, and not by the text's upper(), leaves \\d and its like what they are
    source = f"""
        SELECT r.job_id
          FROM (SELECT %s AS pattern, %s AS number) AS asked
          JOIN {all_names(log.schema).replace("%", "%%")} AS n ON n.job_name ~* asked.pattern
         CROSS JOIN LATERAL ({job_runs("n.job_name", "asked.number")}) AS r
         ORDER BY r.job_id DESC
         LIMIT %s
    """
    found = runs(log, source, arguments.text, arguments.n, arguments.n)
    if not found:
        raise log.unknown(arguments.text) or NotDone(f"{arguments.text} is configured, but no run of it was logged")
    return found


def _failed(log: "JobLog", arguments: argparse.Namespace) -> "list[Run]":
    from check_jobmon.ctl.run_queries import runs

    name = ("AND l.job_name = upper(%s)", [arguments.name]) if arguments.name else ("", [])
    source = f"""
        SELECT f.job_id
          FROM word AS w
         CROSS JOIN LATERAL (
                SELECT l.job_id
                  FROM @schema@.job_log AS l
                 WHERE l.status = w.alert_text AND l.end_time IS NOT NULL {name[0]}
                 ORDER BY l.job_id DESC
                 LIMIT %s
               ) AS f
         WHERE w.alert_code IN (2, 3)
         ORDER BY f.job_id DESC
         LIMIT %s
    """
    found = runs(log, source, *name[1], arguments.n, arguments.n)
    if not found and arguments.name and (unknown := log.unknown(arguments.name)):
        raise unknown
    return found


def _running(log: "JobLog", arguments: argparse.Namespace) -> "list[Run]":
    from check_jobmon.ctl.run_queries import runs

    source = """
        SELECT l.job_id
          FROM @schema@.job_log AS l
          JOIN backend AS b ON b.pid = l.pid AND coalesce(b.backend_start <= l.start_time, true)
         WHERE l.end_time IS NULL
         ORDER BY l.job_id DESC
         LIMIT %s
    """
    return runs(log, source, arguments.n)
