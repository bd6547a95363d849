"""The results of many targets as text and as JSON."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from check_jobmon.judging.result import STATES, failed
from check_jobmon.plugin.output import compose
from check_jobmon.plugin.targets.passive import CRITICAL, Passive, service_of
from check_jobmon.plugin.targets.records import Record
from check_jobmon.text import clean, label, title

WORST_FIRST = (2, 1, 3, 0)
HEADLINE = 400
"""Characters that the first line spends on naming problems; the rest are counted."""
REASON = 120
"""Characters of it for one of them."""


def worst(records: Sequence[Record]) -> int:
    """The state of all together."""
    return next(state for state in WORST_FIRST if any(record.state == state for record in records))


def counted(records: Sequence[Record]) -> str:
    """How many are in each state."""
    numbers = {state: sum(record.state == state for record in records) for state in WORST_FIRST}
    return ", ".join(f"{numbers[state]} {STATES[state]}" for state in WORST_FIRST if numbers[state] or state == 0)


def as_text(records: Sequence[Record], arguments: argparse.Namespace, seconds: float) -> tuple[int, str]:
    """The worst state, and the worst targets first. Figures are of the targets, not of their jobs."""
    ordered = worst_first(records)
    said = headline([f"{title(r.target)}: {clean(r.summary, REASON)}" for r in ordered if r.state])
    perfdata: list[str] = []
    if arguments.perfdata != "none":
        numbers = (f"{STATES[s]}={sum(r.state == s for r in records)}" for s in WORST_FIRST)
        perfdata.append(f"{' '.join(numbers)} time={seconds:.3f}s;;;0")
    if arguments.perfdata in ("all", "problems"):
        perfdata += [_perfdata(r) for r in ordered if r.counts and (r.state or arguments.perfdata == "all")]
    state = worst(records)
    result = failed(state, f"{counted(records)}: {said or 'all jobs of all targets run successfully'}")
    shown = lines(ordered, arguments.verbose)
    return state, compose(result.first_line, shown, perfdata, arguments.max_output, "targets")


def submission(
    records: Sequence[Record],
    number: int,
    refused: Sequence[tuple[Passive, str]],
    arguments: argparse.Namespace,
    seconds: float,
) -> tuple[int, str]:
    """Whether all results were taken, and which were not."""
    to = clean(arguments.submit, 200)
    reasons = [f"{clean(passive.name, 200)}: {clean(reason, 300)}" for passive, reason in refused]
    if refused:
        result = failed(CRITICAL, f"{len(refused)} of {number} results not taken by {to}: {headline(reasons)}")
    else:
        result = failed(0, f"{number} results taken by {to} ({counted(records)})")
    shown = reasons + (lines(worst_first(records), 0) if arguments.verbose else [])
    perfdata = [f"taken={number - len(refused)} refused={len(refused)} time={seconds:.3f}s;;;0"]
    if arguments.perfdata == "none":
        perfdata = []
    return result.state, compose(result.first_line, shown, perfdata, arguments.max_output)


def worst_first(records: Sequence[Record]) -> list[Record]:
    """The worst first, else in their order."""
    return sorted(records, key=lambda record: WORST_FIRST.index(record.state))


def headline(texts: Sequence[str]) -> str:
    """As many as fit, and how many more there are."""
    shown = ""
    for number, text in enumerate(texts):
        if number and len(shown) + len(text) > HEADLINE:
            return f"{shown}; and {len(texts) - number} more"
        shown += f"; {text}" if number else text
    return shown


def lines(records: Sequence[Record], verbose: int) -> list[str]:
    """A line for each target, and with -v its own long output under it."""
    found = []
    for record in records:
        found.append(f"{STATES[record.state].upper()} {title(record.target)}: {record.summary}")
        if verbose:
            found += [f"    {line}" for line in record.long_output]
    return found


def _perfdata(record: Record) -> str:
    name = label(record.target)
    assert record.counts
    return " ".join(
        f"'{name} {STATES[state]}'={number}" for state, number in zip((2, 1, 0), record.counts, strict=True)
    )


def as_json(state: int, summary: str, records: Sequence[Record], service: str, per_job: bool) -> str:
    """All of it, never cut. ASCII, whatever is in the names."""
    results = [result for record in records for result in _results(record, service, per_job)]
    whole = {"state": state, "state_text": STATES[state].upper(), "summary": summary, "results": results}
    return json.dumps(whole, allow_nan=False) + "\n"


def _results(record: Record, service: str, per_job: bool) -> list[dict[str, Any]]:
    times = {"began": round(record.began, 3), "ended": round(record.ended, 3)}
    own = {
        "target": record.target,
        "job": None,
        "service": service,
        "state": record.state,
        "state_text": STATES[record.state].upper(),
        "output": record.first_line,
        "long_output": record.long_output,
        "perfdata": record.perfdata,
        **times,
        "jobs": [
            {
                "name": job.name,
                "state": job.state,
                "state_text": STATES[job.state].upper(),
                "reason": job.reason,
                "active": job.active,
                "failures": job.failures,
                "sensitivity": job.sensitivity,
                "age": job.age,
                "warn": job.warn,
                "error": job.error,
                "duration": job.duration,
            }
            for job in record.jobs
        ],
    }
    if not per_job:
        return [own]
    return [own] + [
        {
            "target": record.target,
            "job": job.name,
            "service": service_of(service, job.name),
            "state": job.state,
            "state_text": STATES[job.state].upper(),
            "output": job.output,
            "long_output": [],
            "perfdata": [job.perfdata],
            **times,
        }
        for job in record.jobs
    ]
