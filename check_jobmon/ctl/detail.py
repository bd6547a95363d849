"""jobmonctl detail: shows the steps of a run as a timeline."""

import argparse
from dataclasses import asdict
from typing import Any

from check_jobmon.config.connection_options import option
from check_jobmon.ctl.arguments import add_list_arguments, add_session_arguments, job_id_or_name
from check_jobmon.ctl.connecting import JobLog, in_job_log
from check_jobmon.ctl.run_queries import Run, Step, duration_text, newest_runs, run_with_id, steps
from check_jobmon.ctl.table import NAME, PROSE, Row, Table, show, show_json, show_title
from check_jobmon.text import heading, without_zone

FAILED = "!!"
"""Marks the steps that failed, where colours are not seen."""
WIDTH = 20
"""Columns of the timeline."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    option(parser, "which JOB_ID|NAME", "job_id of a run, or name of a job (in any letter case)", job_id_or_name)
    add_session_arguments(parser)
    add_list_arguments(parser, 1, "runs of the job")


@in_job_log
def run(log: JobLog, arguments: argparse.Namespace) -> None:
    """Print the run, then its steps."""
    if isinstance(arguments.which, int):
        found = [run_with_id(log, arguments.which)]
    else:
        found = log.session.ask(newest_runs(log, "of_job", arguments.which, arguments.n))
    if arguments.json:
        show_json(_json_object(one, *steps(log, one)) for one in found)
        return
    if not found:
        print(f"no run of this job was ever logged{log.extent}")
    for number, one in enumerate(found):
        if number:
            print()
        show_title(_headline(one), one.code)
        show_title(_origin(one, "" if number else log.session.zone))
        logged, earlier = steps(log, one)
        if earlier:
            print(f"its last {len(logged)} steps; those before are left out")
        if logged:
            show(timeline(one, logged), arguments.wide)
        else:
            print("no steps were logged")


def _json_object(run: Run, logged: list[Step], earlier: bool) -> dict[str, Any]:
    """The run and its steps for JSON; `steps_left_out` if it has more steps than are listed."""
    more = {"steps_left_out": True} if earlier else {}
    return {**asdict(run), "steps": [asdict(step) for step in logged], **more}


def _headline(run: Run) -> str:
    ended = {"ended": f"{run.word}, took {run.duration_text}", "running": f"running for {run.duration_text}"}
    return f"{run.label}: {ended.get(run.state, run.state)}"


def _origin(run: Run, zone: str) -> str:
    end = f", ended {without_zone(run.end_time)}" if run.end_time else ""
    return f"{heading(f'started {without_zone(run.start_time)}{end}', zone)}, by {run.owner}, {run.place}"


def timeline(run: Run, logged: list[Step]) -> Table:
    """The steps as a table. An open step has lasted until now if the run is under way, and for an unknown time if it crashed."""
    lasted = {
        step.step_id: run.seconds - step.offset if step.end_time is None and run.seconds is not None else step.seconds
        for step in logged
    }
    whole = max([run.seconds or 0, *(step.offset + (lasted[step.step_id] or 0) for step in logged)])
    failed = {step.step_id for step in logged if (step.alert_code or 0) > 1}
    if not failed and (run.code or 0) > 1:
        # the run failed without a step that did: mark the last step that it got to
        failed = {logged[-1].step_id}
    rows = []
    for number, step in enumerate(logged, 1):
        seconds = lasted[step.step_id]
        bad = step.step_id in failed
        cells = (
            FAILED if bad else "",
            str(number),
            f"+{duration_text(step.offset)}",
            duration_text(seconds),
            bar(step.offset, seconds or 0, whole),
            step.status or ("open" if run.state == "ended" else run.state),
            step.action,
            step.message or "",
        )
        rows.append(Row(cells, (step.alert_code or run.code) if bad else None))
    columns = ("", "STEP", "AT", "TOOK", "TIMELINE", "STATUS", "ACTION", "MESSAGE")
    cut = {"TIMELINE": WIDTH // 2, "ACTION": NAME, "MESSAGE": PROSE}
    return Table(columns, rows, (0, 2, 4, 1, 5, 3, 0, 0), cut, ("TIMELINE",), ("STEP", "AT", "TOOK"))


def bar(offset: float, seconds: float, whole: float) -> str:
    """A step's place in the whole run; each has at least one column.

    >>> [bar(*step, 20) for step in ((0, 10), (10, 10), (19.99, 0))]
    ['##########..........', '..........##########', '...................#']
    """
    first = min(int(max(offset, 0) / whole * WIDTH), WIDTH - 1) if whole > 0 else 0
    columns = max(1, min(round(max(seconds, 0) / whole * WIDTH), WIDTH - first)) if whole > 0 else 1
    return ("." * first + "#" * columns).ljust(WIDTH, ".")
