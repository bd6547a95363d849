"""jobmonctl detail: the steps of a run as a timeline."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from check_jobmon.ctl.parser import add_command, add_list_arguments, job_id_or_name

if TYPE_CHECKING:
    from check_jobmon.ctl.run_queries import Run, Step
    from check_jobmon.ctl.runner import JobLog
    from check_jobmon.ctl.table import Table

FAILED = "!!"
"""Marks the steps that failed, for whoever sees no colour."""
WIDTH = 20
"""Columns of the timeline."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "detail",
        run,
        "the steps of a run, as a timeline",
        "Shows the steps of a run, or of a job's newest run: when after its start each\n"
        f"began, and how long it took. {FAILED} marks what failed.",
        "  jobmonctl detail -d etl 4711\n  jobmonctl detail -d etl 'nightly etl' -n 3",
    )
    parser.add_argument(
        "which", type=job_id_or_name, metavar="JOB_ID|NAME", help="run by its number, or job, in any case"
    )
    add_list_arguments(parser, 1, "runs of the job")


def run(arguments: argparse.Namespace) -> int:
    """Print the run, then its steps."""
    from check_jobmon.ctl.run_queries import run_with_id, runs_of, steps
    from check_jobmon.ctl.runner import talk
    from check_jobmon.ctl.table import show, show_json, show_title

    def work(log: "JobLog") -> int:
        if isinstance(arguments.which, int):
            found = [run_with_id(log, arguments.which)]
        else:
            found = runs_of(log, arguments.which, arguments.n)
        if arguments.json:
            show_json(_json_object(one, *steps(log, one)) for one in found)
            return 0
        if not found:
            print("no run of it was ever logged")
        for number, one in enumerate(found):
            if number:
                print()
            show_title(_headline(one), one.code)
            show_title(_origin(one), 0)
            logged, earlier = steps(log, one)
            if earlier:
                print(f"its last {len(logged)} steps; those before are left out")
            if logged:
                show(timeline(one, logged))
            else:
                print("no steps were logged")
        return 0

    return talk(arguments, work)


def _json_object(run: "Run", logged: "list[Step]", earlier: bool) -> dict[str, Any]:
    """The run and its steps for JSON; `steps_left_out` where it has more steps than are listed."""
    from check_jobmon.ctl.run_queries import json_object

    return {
        **json_object(run),
        "steps": [asdict(step) for step in logged],
        **({"steps_left_out": True} if earlier else {}),
    }


def _headline(run: "Run") -> str:
    ended = {"ended": f"{run.word}, took {run.took}", "running": f"running for {run.took}"}
    return f"{run.named}: {ended.get(run.state, run.state)}"


def _origin(run: "Run") -> str:
    from check_jobmon.ctl.run_queries import moment

    end = f", ended {moment(run.end_time)}" if run.end_time else ""
    return f"started {moment(run.start_time)}{end}, by {run.owner}, pid {run.pid}"


def timeline(run: "Run", logged: "list[Step]") -> "Table":
    """The steps as a table. An open step of a run under way has lasted until now; of a crashed one nobody knows."""
    from check_jobmon.ctl.run_queries import took
    from check_jobmon.ctl.table import Row, Table

    lasted = {
        step.step_id: run.seconds - step.offset if step.end_time is None and run.seconds is not None else step.seconds
        for step in logged
    }
    whole = max([run.seconds or 0, *(step.offset + (lasted[step.step_id] or 0) for step in logged)])
    failed = {step.step_id for step in logged if (step.alert_code or 0) > 1}
    if not failed and (run.code or 0) > 1:
        # no step says that it failed: then it is the last one that the run got to
        failed = {logged[-1].step_id}
    rows = []
    for number, step in enumerate(logged, 1):
        seconds = lasted[step.step_id]
        bad = step.step_id in failed
        rows.append(
            Row(
                (
                    FAILED if bad else "",
                    str(number),
                    f"+{took(step.offset)}",
                    took(seconds),
                    bar(step.offset, seconds or 0, whole),
                    step.status or ("open" if run.state == "ended" else run.state),
                    step.action,
                    step.message or "",
                ),
                (step.alert_code or run.code) if bad else None,
            )
        )
    return Table(
        ("", "STEP", "AT", "TOOK", "TIMELINE", "STATUS", "ACTION", "MESSAGE"),
        tuple(rows),
        right=frozenset({"STEP", "AT", "TOOK"}),
        whole=frozenset({"", "TIMELINE"}),
    )


def bar(offset: float, seconds: float, whole: float) -> str:
    """Where in the whole a step lies; each has at least one column.

    >>> [bar(*step, 20) for step in ((0, 10), (10, 10), (19.99, 0))]
    ['##########..........', '..........##########', '...................#']
    """
    first = min(int(max(offset, 0) / whole * WIDTH), WIDTH - 1) if whole > 0 else 0
    columns = max(1, min(round(max(seconds, 0) / whole * WIDTH), WIDTH - first)) if whole > 0 else 1
    return ("." * first + "#" * columns).ljust(WIDTH, ".")
