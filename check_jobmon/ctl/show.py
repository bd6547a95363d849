"""jobmonctl show, like, failed, running, history: list runs, newest first (history as bars). An SQL file each selects them."""

import argparse
import statistics
from dataclasses import asdict

from check_jobmon.config.connection_options import filled, option
from check_jobmon.ctl.arguments import add_list_arguments, add_session_arguments
from check_jobmon.ctl.connecting import CommandFailed, JobLog
from check_jobmon.ctl.run_queries import Run, duration_text, newest_runs, table
from check_jobmon.ctl.table import Row, Table, show, show_json
from check_jobmon.ctl.targets import Answers, add_targets_argument, answered, host_objects, hosted, over_job_logs
from check_jobmon.text import heading, without_zone

NONE = {
    "show": "no run was ever logged",
    "failed": "no run has failed",
    "running": "no job is running",
    "history": "no run of this job was ever logged",
}
"""What the commands print if there is no run."""
WIDTH = 30
"""Columns of the longest bar in the chart of history."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of the parser's `command`."""
    command = parser.get_default("command")
    if command == "like":
        option(parser, "name TEXT", "part of a job's name, or a regular expression", _part_of_a_name)
    elif command == "history":
        option(parser, "name NAME", "name of the job (in any letter case)", filled)
    elif command != "running":
        option(parser, "name NAME", "name of a job, in any letter case (default: all jobs)", filled, nargs="?")
    add_session_arguments(parser)
    parser.set_defaults(targets=None)
    if command in ("failed", "running"):
        add_targets_argument(parser)
    add_list_arguments(parser, 20 if command == "history" else 10, "runs")


def _part_of_a_name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError(
            "it is empty, and every job's name contains that: show lists the runs of all jobs"
        )
    return filled(text)


def run(arguments: argparse.Namespace) -> None:
    """Print the runs."""
    over_job_logs(arguments, _asking, _show)


async def _asking(log: JobLog, arguments: argparse.Namespace) -> tuple[list[Run], str, str]:
    """The runs, the zone of their times, and a remark on which can be seen."""
    command, name = arguments.command, getattr(arguments, "name", None)
    source = {"show": "of_job" if name else "newest", "history": "of_job"}.get(command, command)
    found = await newest_runs(log, source, name, arguments.n)
    if command == "like" and not found:
        raise CommandFailed(f"{name} is configured, but no run of it was logged")
    return found, log.session.zone, log.extent


def _show(answers: Answers[tuple[list[Run], str, str]], arguments: argparse.Namespace) -> None:
    pairs = [(host, run) for host, (found, *_) in answered(answers) for run in found]
    if arguments.targets:
        pairs = sorted(pairs, key=lambda pair: pair[1].instant, reverse=True)[: arguments.n]
    hosts, found = [host for host, _ in pairs], [run for _, run in pairs]
    zone, extent = next((rest for _, (_, *rest) in answered(answers)), ("", ""))
    if arguments.json:
        show_json(host_objects(((host, asdict(run)) for host, run in pairs), answers))
    elif not found and len(answered(answers)) == len(answers):
        print(NONE[arguments.command] + extent)
    elif arguments.command == "history":
        show(_chart(found, zone), arguments.wide)
    else:
        show(hosted(table(found, zone), hosts, answers), arguments.wide)


def _chart(found: list[Run], zone: str) -> Table:
    """The runs as a table with bars, under a title that sums them up. `zone`: the time zone of their times."""
    longest = max((run.seconds or 0 for run in found), default=0)
    rows = [
        Row((str(run.job_id), without_zone(run.start_time), run.word, run.duration_text, _bar(run, longest)), run.code)
        for run in found
    ]
    columns = ("JOB_ID", heading("STARTED", zone), "STATUS", "TOOK", "DURATION")
    cut = {"DURATION": WIDTH // 2}
    return Table(columns, rows, (1, 0, 2, 0, 0), cut, ("DURATION",), ("JOB_ID", "TOOK"), _summary(found))


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
