"""The results of many targets as text and as JSON."""

import argparse
import json
import math
from collections.abc import Sequence
from typing import Any

from check_jobmon.judging.result import STATES, JobResult, failed
from check_jobmon.plugin.output import compose
from check_jobmon.plugin.targets.passive_results import CRITICAL, PassiveResult, TargetResult, passive_results
from check_jobmon.text import clean, label, title

WORST_FIRST = (2, 1, 3, 0)
HEADLINE = 400
"""Characters that the first line spends on naming problems; the rest are counted."""
REASON = 120
"""Characters of the first line for one target."""


def worst_state(results: Sequence[TargetResult]) -> int:
    """The state of all targets together."""
    return min((target.result.state for target in results), key=WORST_FIRST.index)


def state_counts(results: Sequence[TargetResult]) -> str:
    """How many targets are in each state, for people."""
    numbers = _numbers(results)
    return ", ".join(f"{number} {STATES[state]}" for state, number in numbers.items() if number or state == 0)


def as_text(results: Sequence[TargetResult], arguments: argparse.Namespace, seconds: float) -> tuple[int, str]:
    """The worst state, and the text: the worst targets first. Figures are of the targets, not of their jobs."""
    ordered = _worst_first(results)
    problems = _headline([f"{title(t.target)}: {clean(t.result.summary, REASON)}" for t in ordered if t.result.state])
    perfdata: list[str] = []
    if arguments.perfdata != "none":
        numbers = " ".join(f"{STATES[state]}={number}" for state, number in _numbers(results).items())
        perfdata.append(f"{numbers} time={seconds:.3f}s;;;0")
    if arguments.perfdata in ("all", "problems"):
        shown = [t for t in ordered if t.result.state or arguments.perfdata == "all"]
        perfdata += [_perfdata(target.target, target.result.counts) for target in shown if target.result.counts]
    summary = f"{state_counts(results)}: {problems or 'all jobs of all targets run successfully'}"
    whole = failed(worst_state(results), summary)
    lines = _lines(ordered, arguments.verbose)
    return whole.state, compose(whole.first_line, lines, perfdata, arguments.max_output, "targets")


def submission(
    results: Sequence[TargetResult],
    number: int,
    refused: Sequence[tuple[PassiveResult, str]],
    arguments: argparse.Namespace,
    seconds: float,
) -> tuple[int, str]:
    """The state and text that say whether all of this number of passive results were taken, and which were not."""
    to = clean(arguments.submit, 200)
    lines = [f"{clean(passive.name, 200)}: {clean(reason, 300)}" for passive, reason in refused]
    if refused:
        whole = failed(CRITICAL, f"{len(refused)} of {number} results not taken by {to}: {_headline(lines)}")
    else:
        whole = failed(0, f"{number} results taken by {to} ({state_counts(results)})")
    if arguments.verbose:
        lines += _lines(_worst_first(results), 0)
    perfdata = [f"taken={number - len(refused)} refused={len(refused)} time={seconds:.3f}s;;;0"]
    if arguments.perfdata == "none":
        perfdata = []
    return whole.state, compose(whole.first_line, lines, perfdata, arguments.max_output)


def as_json(state: int, summary: str, results: Sequence[TargetResult], service: str, per_job: bool) -> str:
    """Everything, never cut. ASCII, whatever is in the names."""
    passives = passive_results(results, service, per_job)
    whole = {**_state(state), "summary": summary, "results": [_passive(passive) for passive in passives]}
    return json.dumps(whole, allow_nan=False) + "\n"


def _numbers(results: Sequence[TargetResult]) -> dict[int, int]:
    return {state: sum(target.result.state == state for target in results) for state in WORST_FIRST}


def _worst_first(results: Sequence[TargetResult]) -> list[TargetResult]:
    """The worst first, otherwise in the order of the file."""
    return sorted(results, key=lambda target: WORST_FIRST.index(target.result.state))


def _headline(texts: Sequence[str]) -> str:
    """As many texts as fit, and how many more there are."""
    shown = ""
    for number, text in enumerate(texts):
        if number and len(shown) + len(text) > HEADLINE:
            return f"{shown}; and {len(texts) - number} more"
        shown += f"; {text}" if number else text
    return shown


def _lines(results: Sequence[TargetResult], verbose: int) -> list[str]:
    """A line for each target, and with -v its own long output under it."""
    lines = []
    for target, result, *_ in results:
        lines.append(f"{STATES[result.state].upper()} {title(target)}: {result.summary}")
        if verbose:
            lines += [f"    {line}" for line in result.long_output]
    return lines


def _perfdata(target: str, counts: Sequence[int]) -> str:
    name = label(target)
    return " ".join(f"'{name} {STATES[state]}'={number}" for state, number in zip((2, 1, 0), counts, strict=True))


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
    seconds = {"age": job.age, "warn": job.warn_after, "error": job.error_after, "duration": job.duration}
    return {
        "name": job.name,
        **_state(judged.state),
        "reason": judged.reason,
        "active": job.active,
        "failures": job.failures,
        "sensitivity": job.sensitivity,
        **{name: round(n, 3) if n is not None and math.isfinite(n) else None for name, n in seconds.items()},
    }
