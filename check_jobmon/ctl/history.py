"""jobmonctl history: a job's runs as a small chart of durations and states."""

import argparse
import statistics
from typing import TYPE_CHECKING

from check_jobmon.config.connection_options import filled
from check_jobmon.ctl.parser import add_command, add_list_arguments

if TYPE_CHECKING:
    from check_jobmon.ctl.run_queries import Run
    from check_jobmon.ctl.runner import JobLog
    from check_jobmon.ctl.table import Table

WIDTH = 30
"""Columns of the longest bar."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "history",
        run,
        "a job's runs as a small chart",
        "Draws how long a job's last runs took and how they ended, newest first.\n"
        "A bar is of # where all went well, of x where the run failed, of + while it\nis running.",
        "  jobmonctl history -d etl 'nightly etl'\n  jobmonctl history -d etl cube -n 60",
    )
    parser.add_argument("name", type=filled, metavar="NAME", help="job, in any case")
    add_list_arguments(parser, 20, "runs")


def run(arguments: argparse.Namespace) -> int:
    """Print the chart."""
    from check_jobmon.ctl.run_queries import json_object, runs_of
    from check_jobmon.ctl.runner import talk
    from check_jobmon.ctl.table import show, show_json

    def work(log: "JobLog") -> int:
        found = runs_of(log, arguments.name, arguments.n)
        if arguments.json:
            show_json(json_object(run) for run in found)
        elif found:
            show(chart(found))
        else:
            print("no run of it was ever logged")
        return 0

    return talk(arguments, work)


def chart(found: "list[Run]") -> "Table":
    """The runs as a table with bars, and in its title what they have in common."""
    from check_jobmon.ctl.run_queries import moment
    from check_jobmon.ctl.table import Row, Table

    longest = max((run.seconds or 0 for run in found), default=0)
    return Table(
        ("JOB_ID", "STARTED", "STATUS", "TOOK", "DURATION"),
        tuple(
            Row((str(run.job_id), moment(run.start_time), run.word, run.took, _bar(run, longest)), run.code)
            for run in found
        ),
        right=frozenset({"JOB_ID", "TOOK"}),
        whole=frozenset({"DURATION"}),
        title=_summary(found),
    )


def _summary(found: "list[Run]") -> str:
    from check_jobmon.ctl.run_queries import took

    words = [run.word for run in found]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    ended = [run.seconds for run in found if run.state == "ended" and run.seconds is not None]
    times = f"; median {took(statistics.median(ended))}, longest {took(max(ended))}" if ended else ""
    return f"{found[0].job_name}: {counts}{times}"


def _bar(run: "Run", longest: float) -> str:
    if run.seconds is None:
        return ""
    sign = "+" if run.state != "ended" else "x" if (run.alert_code or 0) > 1 else "#"
    return sign * (max(1, round(run.seconds / longest * WIDTH)) if longest > 0 else 1)
