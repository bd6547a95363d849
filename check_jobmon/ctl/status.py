"""jobmonctl status: shows all jobs as check_jobmon judges them, as a table."""

import argparse
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from check_jobmon.config.connection_options import filled, option
from check_jobmon.connection import ExpectedError
from check_jobmon.ctl.arguments import add_session_arguments, add_wide_argument, waiting_time
from check_jobmon.ctl.connecting import JobLog
from check_jobmon.ctl.table import NAME, PROSE, Row, Table, show, show_json
from check_jobmon.ctl.targets import (
    Answers,
    add_targets_argument,
    answered,
    host_objects,
    hosted,
    inquiring,
    over_job_logs,
)
from check_jobmon.ctl.waiting import silently
from check_jobmon.judging.check import job_cells, job_columns
from check_jobmon.judging.job import Job, Words
from check_jobmon.text import counted, duration

RANKS = (0, 0, 3, 2, 4, 1, 0)
CODES = (1, 2, 3, 2)
"""The alert code by which a job is coloured and sorted, by its exit status: UNKNOWN as WARNING."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser)
    either = parser.add_mutually_exclusive_group()
    text = "repeat every SECONDS (default: 2) until q or Ctrl-C, even while the server can't be reached"
    option(either, "--watch SECONDS", text, waiting_time, nargs="?", const=2.0)
    option(either, "--json", "print JSON")
    some = "only this job, or the jobs that match this shell pattern; repeatable (default: all)"
    option(parser, "-j --job PATTERN", some, filled, action="append", default=[])
    option(parser, "--problems", "only the jobs that are not OK")
    add_targets_argument(parser)
    option(parser, "--no-silences", "judge as if no job were silenced")
    add_wide_argument(parser)


class Look(NamedTuple):
    """What a job log answers: the jobs, the words for their states, and the time."""

    words: Words
    jobs: list[Job]
    time: str


def run(arguments: argparse.Namespace) -> None:
    """Print the table, once or again and again."""
    if arguments.watch:
        _watch(arguments)
    else:
        over_job_logs(arguments, _asking, _show)


async def _asking(log: JobLog, arguments: argparse.Namespace) -> Look:
    found = await log.judging(arguments.job, not arguments.no_silences)
    now = await log.asking("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS')")
    return Look(found.words, found.jobs, f"{now[0][0]} {log.session.zone}".rstrip())


def _show(answers: Answers[Look], arguments: argparse.Namespace) -> None:
    if arguments.json:
        shown = _shown(answers, arguments.problems)
        show_json(host_objects(((host, json_object(job, words)) for host, job, words in shown), answers))
    else:
        show(table(answers, arguments.problems), arguments.wide)


def _looks(arguments: argparse.Namespace) -> Iterator[Table]:
    """Yields the table, up to date each time; while the server can't be reached, the last one, with the reason in its title."""
    last, looked = None, 0.0
    while True:
        try:
            with inquiring(arguments, _asking) as look:
                while True:
                    last, looked = table(look(), arguments.problems), time.monotonic()
                    yield last
        except ExpectedError as error:
            if last is None:
                raise
            # how long ago, because without a session the time isn't known in the session's time zone
            away = duration(time.monotonic() - looked)
            yield replace(last, title=f"last seen {away} ago: trying again, because {error}; it was {last.title}")


def _watch(arguments: argparse.Namespace) -> None:
    """Redraws the table in place on a terminal, else prints one after the other, until Ctrl-C or q."""
    from check_jobmon.ctl.screen import Screen, usable

    looks = _looks(arguments)
    first = next(looks)
    with contextlib.suppress(KeyboardInterrupt):
        if usable():
            with silently(), Screen(first, arguments.wide) as screen:
                screen.start()
                while True:
                    _pause(arguments.watch)
                    screen.show(next(looks))
        for look in itertools.chain([first], looks):
            show(look, arguments.wide)
            print(flush=True)
            _pause(arguments.watch)


def _pause(seconds: float) -> None:
    """Sleep, in short parts: a signal that comes just before a sleep begins is handled only after it."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))


def _word(job: Job, words: Words) -> str:
    return words[job.state()] if job.active else "-"


def _shown(answers: Answers[Look], problems: bool) -> list[tuple[str, Job, Words]]:
    """All jobs, or those with `problems`, each with its host and the words there; the worst first."""
    found = [(host, job, look.words) for host, look in answered(answers) for job in look.jobs]
    found.sort(key=lambda one: (not one[1].active, -CODES[one[1].state()], one[0], one[1].name))
    return [one for one in found if not problems or one[1].state()]


def table(answers: Answers[Look], problems: bool = False) -> Table:
    """The jobs as a table, or those with `problems`, under a line that counts them all."""
    looks = [look for _, look in answered(answers)]
    counts = Counter(_word(job, look.words) for look in looks for job in look.jobs if job.active)
    known = dict.fromkeys(w for look in looks for w in (*reversed(look.words[1:3]), look.words.unknown, look.words.ok))
    unknown = {look.words.unknown for look in looks}
    parts = [f"{counts[word]} {word}" for word in known if counts[word] or word not in unknown]
    silent = len(answers) - len(looks)
    if silent:
        parts.insert(0, f"{silent} of {counted(len(answers), 'target')} could not be asked")
    shown = _shown(answers, problems)
    rows = []
    for _, job, words in shown:
        cells = job_cells(_word(job, words), job, job.reason(words, 500, whole=True, zoned=False), length=0)
        rows.append(Row(cells, CODES[job.state()] if job.active else None))
    when = f" ({looks[0].time})" if looks else ""
    cut, right = {"JOB": NAME, "REASON": PROSE}, ("AGE", "TOOK", "FAILURES")
    made = Table(job_columns(), rows, RANKS, cut, right=right, title=", ".join(parts) + when)
    return hosted(made, [host for host, *_ in shown], answers)


def json_object(job: Job, words: Words) -> dict[str, Any]:
    """The job for JSON: its state, the reason, and all the columns of the check's query."""
    return {"state": _word(job, words), "reason": job.reason(words, 500, whole=True), **job._asdict()}
