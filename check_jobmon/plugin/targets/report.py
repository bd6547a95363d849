"""The results of many targets as text and as JSON."""

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from check_jobmon.judging.result import CRITICAL, HEADLINE, STATES, WORST_FIRST, JobResult, Result, failed
from check_jobmon.plugin.targets.passive_results import PassiveResult
from check_jobmon.text import as_many_as_fit, clean, label, title

REASON = 120
"""Characters of the first line for one target."""


def summary(targets: Sequence[PassiveResult], arguments: argparse.Namespace, seconds: float) -> Result:
    """The result of all targets together, the worst first. Figures are of the targets, not of their jobs."""
    ordered = _worst_first(targets)
    problems = [f"{title(t.host)}: {clean(t.result.summary, REASON)}" for t in ordered if t.result.state]
    perfdata: list[str] = []
    if arguments.perfdata != "none":
        numbers = " ".join(f"{STATES[state]}={number}" for state, number in _numbers(targets).items())
        perfdata.append(f"{numbers} time={seconds:.3f}s;;;0")
    if arguments.perfdata in ("all", "problems"):
        shown = [t for t in ordered if t.result.state or arguments.perfdata == "all"]
        perfdata += [_perfdata(t.host, t.result.counts) for t in shown if t.result.counts]
    headline = as_many_as_fit(problems, HEADLINE, "; ") or "all jobs of all targets run successfully"
    whole = failed(ordered[0].result.state, f"{_state_counts(targets)}: {headline}")
    return whole._replace(long_output=_lines(ordered, arguments.verbose), perfdata=perfdata)


def submission(
    targets: Sequence[PassiveResult],
    number: int,
    refused: Sequence[tuple[PassiveResult, str]],
    arguments: argparse.Namespace,
    seconds: float,
) -> Result:
    """The result that says whether all of this number of passive results were taken, and which were not."""
    to = clean(arguments.submit, 200)
    lines = [f"{clean(passive.name, 200)}: {clean(reason, 300)}" for passive, reason in refused]
    if refused:
        names: dict[str, list[str]] = {}
        for passive, reason in refused:
            names.setdefault(clean(reason, 300), []).append(clean(passive.name, 200))
        groups = [f"{as_many_as_fit(those, REASON)}: {reason}" for reason, those in names.items()]
        headline = as_many_as_fit(groups, HEADLINE, "; ")
        whole = failed(CRITICAL, f"{len(refused)} of {number} results not taken by {to}: {headline}")
    else:
        whole = failed(0, f"{number} results taken by {to} ({_state_counts(targets)})")
    if arguments.verbose:
        lines += _lines(_worst_first(targets), 0)
    perfdata = [f"taken={number - len(refused)} refused={len(refused)} time={seconds:.3f}s;;;0"]
    return whole._replace(long_output=lines, perfdata=[] if arguments.perfdata == "none" else perfdata)


def as_json(whole: Result, targets: Sequence[PassiveResult], results: Iterable[PassiveResult]) -> str:
    """Everything, never cut: `results` are those of the targets and of their jobs. ASCII, whatever is in the names."""
    counts = _state_counts(targets) if targets else whole.summary
    fields = {**_state(whole.state), "summary": counts, "results": [_passive(result) for result in results]}
    return json.dumps(fields, allow_nan=False) + "\n"


def _state_counts(targets: Sequence[PassiveResult]) -> str:
    """How many targets are in each state, for people."""
    numbers = _numbers(targets).items()
    return ", ".join(f"{number} {STATES[state]}" for state, number in numbers if number or state == 0)


def _numbers(targets: Sequence[PassiveResult]) -> dict[int, int]:
    return {state: sum(target.result.state == state for target in targets) for state in WORST_FIRST}


def _worst_first(targets: Sequence[PassiveResult]) -> list[PassiveResult]:
    """The worst first, otherwise in the order of the file."""
    return sorted(targets, key=lambda target: WORST_FIRST.index(target.result.state))


def _lines(targets: Sequence[PassiveResult], verbose: int) -> list[str]:
    """A line for each target, and with -v its own long output under it."""
    lines = []
    for target, _, result, *_ in targets:
        lines.append(f"{STATES[result.state].upper()} {title(target)}: {result.summary}")
        if verbose:
            lines += [f"    {line}" for line in result.long_output]
    return lines


def _perfdata(target: str, counts: Sequence[int]) -> str:
    name = label(target)
    critical, warning, _, ok = counts
    return f"'{name} critical'={critical} '{name} warning'={warning} '{name} ok'={ok}"


def _state(state: int) -> dict[str, Any]:
    return {"state": state, "state_text": STATES[state].upper()}


def _passive(passive: PassiveResult) -> dict[str, Any]:
    result = passive.result
    found: dict[str, Any] = {
        "target": passive.host,
        "job": passive.job,
        "service": passive.service,
        **_state(result.state),
        "output": result.first_line,
        "long_output": list(result.long_output),
        "perfdata": list(result.perfdata),
        "began": round(passive.began, 3),
        "ended": round(passive.ended, 3),
    }
    if passive.job is None:
        found["jobs"] = [_job(job) for job in result.jobs]
    return found


def _job(judged: JobResult) -> dict[str, Any]:
    job = judged.job
    silence = {"id": job.silence_id, "until": job.silenced_until, "by": job.silenced_by, "reason": job.silence_reason}
    seconds = {"age": job.age, "warn": job.warn_after, "error": job.error_after, "duration": job.duration}
    return {
        "name": job.name,
        **_state(judged.state),
        "reason": judged.reason,
        "active": job.active,
        "failures": job.failures,
        "sensitivity": job.sensitivity,
        **{"owner": job.owner, "description": job.description, "runbook": job.runbook},
        "silence": silence if job.silence_id else None,
        **{name: round(n, 3) if n is not None and math.isfinite(n) else None for name, n in seconds.items()},
    }
