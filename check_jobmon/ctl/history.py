"""jobmonctl history: draws the durations and states of a job's runs as a small chart."""

import argparse
import statistics
from dataclasses import asdict

from check_jobmon.config.connection_options import filled
from check_jobmon.ctl.arguments import add_list_arguments, add_session_arguments, describe
from check_jobmon.ctl.connecting import JobLog, in_job_log
from check_jobmon.ctl.run_queries import Run, duration_text, runs_of_job, time_text
from check_jobmon.ctl.table import Row, Table, show, show_json

WIDTH = 30
"""Columns of the longest bar."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    describe(
        parser,
        "Shows a job's last runs as a bar chart of their durations, newest first. A run\n"
        "that succeeded is drawn as ###, one that failed as xxx, a running one as +++.",
        "  jobmonctl history -d etl 'nightly etl'\n  jobmonctl history -d etl cube -n 60",
    )
    parser.add_argument("name", type=filled, metavar="NAME", help="name of the job (in any letter case)")
    add_session_arguments(parser)
    add_list_arguments(parser, 20, "runs")


@in_job_log
def run(log: JobLog, arguments: argparse.Namespace) -> int:
    """Print the chart."""
    found = runs_of_job(log, arguments.name, arguments.n)
    if arguments.json:
        show_json(asdict(run) for run in found)
    elif found:
        show(chart(found))
    else:
        print("no run of this job was ever logged")
    return 0


def chart(found: list[Run]) -> Table:
    """The runs as a table with bars, under a title that sums them up."""
    longest = max((run.seconds or 0 for run in found), default=0)
    rows = [
        Row((str(run.job_id), time_text(run.start_time), run.word, run.duration_text, _bar(run, longest)), run.code)
        for run in found
    ]
    columns = ("JOB_ID", "STARTED", "STATUS", "TOOK", "DURATION")
    return Table(columns, rows, ("JOB_ID", "TOOK"), ("DURATION",), _summary(found))


def _summary(found: list[Run]) -> str:
    words = [run.word for run in found]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    ended = [run.seconds for run in found if run.state == "ended" and run.seconds is not None]
    times = f"; median {duration_text(statistics.median(ended))}, longest {duration_text(max(ended))}" if ended else ""
    return f"{found[0].job_name}: {counts}{times}"


def _bar(run: Run, longest: float) -> str:
    if run.seconds is None:
        return ""
    sign = "+" if run.state != "ended" else "x" if (run.alert_code or 0) > 1 else "#"
    return sign * (max(1, round(run.seconds / longest * WIDTH)) if longest > 0 else 1)
