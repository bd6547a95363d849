"""The results as metrics, in a text that both formats have in common: OpenMetrics 1.0 and Prometheus's text format 0.0.4.

To the latter, which the node exporter's textfile collector reads, UNIT and EOF are comments.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from check_jobmon.config import ConfigFileError
from check_jobmon.config.export import write_data
from check_jobmon.config.hosts import place
from check_jobmon.judging.result import UNKNOWN, JobResult, failed
from check_jobmon.plugin.output import compose
from check_jobmon.plugin.targets.passive_results import PassiveResult
from check_jobmon.text import title, unmistakable

NAME_LENGTH = 200
"""Characters of a label's value before it is cut."""
OF_JOBS: Sequence[tuple[str, str, Callable[[JobResult], float | None]]] = (
    ("state", "State as check_jobmon judges it: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.", lambda job: job.state),
    ("last_success_timestamp_seconds", "When the last successful run ended.", lambda job: job.last_success),
    ("last_duration_seconds", "How long the last completed run took.", lambda job: job.job.duration),
    ("consecutive_failures", "Failures since the last success.", lambda job: job.job.failures),
    ("late_seconds", "How long ago the next run was due by the schedule, or 0.", lambda job: job.job.late),
    ("open_runs", "Runs that have not ended, with or without a backend.", lambda job: job.open_runs),
    ("silenced", "Whether a silence is in force: 1 yes, 0 no.", lambda job: job.job.silence),
)
"""The metrics of a job: the end of the name, the help, and the value, None where there is none."""


def publish(targets: Sequence[PassiveResult], arguments: argparse.Namespace, states: str) -> tuple[int, str]:
    """The exit status and what is to be printed: the metrics; if -o has them written to a file, nothing, or with -v `states`."""
    if not arguments.targets:
        parts = (place(arguments), arguments.dbname)
        targets = [targets[0]._replace(host="/".join(dict.fromkeys(filter(None, parts))))]
    text = exposition(targets)
    if not arguments.output_file:
        return 0, text
    try:
        write_data(arguments.output_file, text.encode())
    except ConfigFileError as error:
        hint = "see that its folder is there, that this user may write to it, and that the disk has room"
        return UNKNOWN, compose(failed(UNKNOWN, f"{error}: {hint}"), arguments.max_output)
    return 0, states if arguments.verbose else ""


def exposition(targets: Sequence[PassiveResult]) -> str:
    """All metrics of all targets. Of a target that could not be judged, only that."""
    results = [(_label("target", target.host), target.result) for target in targets]
    jobs = [(f"{_label('job', each.job.name)},{where}", each) for where, result in results for each in result.jobs]
    lines: list[str] = []
    for name, text, value in OF_JOBS:
        lines += _family(f"job_{name}", text, ((labels, value(judged)) for labels, judged in jobs))
    up = [(where, result.counts is not None) for where, result in results]
    lines += _family("up", "Whether the jobs of the target could be judged: 1 yes, 0 no.", up)
    took = [(where, result.query_seconds) for where, result in results]
    lines += _family("query_seconds", "How long the query that judges the jobs took.", took)
    return "\n".join([*lines, "# EOF"]) + "\n"


def _family(name: str, text: str, samples: Iterable[tuple[str, float | None]]) -> Iterator[str]:
    """The lines of one metric: what it is, then its samples, none below 0. A unit is always the last word of the name."""
    yield f"# HELP jobmon_{name} {text}"
    yield f"# TYPE jobmon_{name} gauge"
    if name.endswith("_seconds"):
        yield f"# UNIT jobmon_{name} seconds"
    for labels, value in samples:
        if value is not None and math.isfinite(value):
            yield f"jobmon_{name}{{{labels}}} {max(round(value, 3), 0):.15g}"


def _label(name: str, value: str) -> str:
    """A label with its value escaped. There are no newlines to escape: title() has replaced them."""
    shown = unmistakable(title(value, NAME_LENGTH), value)
    return name + '="' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
