"""jobmonctl status: shows all jobs as check_jobmon judges them, as a table."""

import argparse
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from check_jobmon.config.connection_options import filled, option
from check_jobmon.ctl.arguments import add_session_arguments, add_wide_argument, print_error, waiting_time
from check_jobmon.ctl.connecting import FAILURES, JobLog, connected, in_job_log
from check_jobmon.ctl.run_queries import duration_text
from check_jobmon.ctl.table import NAME, PROSE, Column, Row, Table, console, lines, show, show_json
from check_jobmon.judging.job import Job, Words
from check_jobmon.text import duration

COLUMNS = (
    Column("STATE"),
    Column("JOB", least=NAME),
    Column("LAST RUN", 3),
    Column("AGE", 2, right=True),
    Column("TOOK", 4, right=True),
    Column("FAILURES", 1, right=True),
    Column("REASON", least=PROSE),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser)
    either = parser.add_mutually_exclusive_group()
    text = "repeat every SECONDS (default: 2) until Ctrl-C, even while the server can't be reached"
    option(either, "--watch SECONDS", text, waiting_time, nargs="?", const=2.0)
    option(either, "--json", "print JSON")
    some = "only this job, or the jobs that match this shell pattern; repeatable (default: all)"
    option(parser, "-j --job PATTERN", some, filled, action="append", default=[])
    option(parser, "--problems", "only the jobs that are not OK")
    option(parser, "--no-silences", "judge as if no job were silenced")
    add_wide_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the table, once or again and again."""
    return _watch(arguments) if arguments.watch else _show(arguments)


@in_job_log
def _show(log: JobLog, arguments: argparse.Namespace) -> int:
    if arguments.json:
        words, jobs = _judge(log, arguments)
        show_json(json_object(job, words) for job in _shown(jobs, arguments.problems))
    else:
        show(_look(log, arguments), arguments.wide)
    return 0


def _judge(log: JobLog, arguments: argparse.Namespace) -> tuple[Words, list[Job]]:
    found = log.judge(arguments.job, not arguments.no_silences)
    return found.words, sorted(found.jobs, key=lambda job: (not job.active, -_code(job), job.name))


def _shown(jobs: list[Job], problems: bool) -> list[Job]:
    return [job for job in jobs if not problems or (job.active and _code(job) > 1)]


def _look(log: JobLog, arguments: argparse.Namespace) -> Table:
    words, jobs = _judge(log, arguments)
    now = log.rows("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS')")[0][0]
    return table(jobs, words, f"{now} {log.session.zone}".rstrip(), arguments.problems)


def _looks(arguments: argparse.Namespace) -> Iterator[Table]:
    """The table, each time anew: while the server is away, the last one, with the reason in its title."""
    last, looked = None, 0.0
    while True:
        try:
            with connected(arguments) as (session, schema):
                log = JobLog(session, schema)
                while True:
                    last, looked = _look(log, arguments), time.monotonic()
                    yield last
        except FAILURES as error:
            if last is None:
                raise
            # no time, because nobody tells this one in the session's time zone
            away = duration(time.monotonic() - looked)
            yield replace(last, title=f"last seen {away} ago: trying again, because {error}; it was {last.title}")


def _watch(arguments: argparse.Namespace) -> int:
    """Redraws the table in place on a terminal, else prints one after the other, until Ctrl-C."""
    looks, on = _looks(arguments), console()
    try:
        first = next(looks)
    except FAILURES as error:
        print_error(arguments, str(error))
        return 1
    with contextlib.suppress(KeyboardInterrupt):
        if on is None:
            for look in itertools.chain([first], looks):
                show(look)
                print(flush=True)
                time.sleep(arguments.watch)
        from rich.live import Live
        from rich.text import Text

        def coloured(table: Table) -> Any:
            shown = lines(table, 0 if arguments.wide else on.width)
            return Text("\n").join(Text(line, style=style) for line, style in shown)

        with Live(coloured(first), console=on, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(arguments.watch)
                live.update(coloured(next(looks)), refresh=True)
    return 0


def _code(job: Job) -> int:
    """The alert code, in which a crash counts as a warning, check_jobmon's default."""
    return max(job.alert_code, 2 if job.crashed and not job.silence else 1)


def _word(job: Job, words: Words) -> str:
    if job.active and job.undue and not job.silence and _code(job) < 3:
        return words.unknown
    return words[_code(job) - 1] if job.active else "-"


def table(jobs: list[Job], words: Words, title: str, problems: bool = False) -> Table:
    """The jobs as a table, or those with `problems`, under a line that counts them all."""
    counts = Counter(_word(job, words) for job in jobs if job.active)
    known = (words.critical, words.warning, words.unknown, words.ok)
    counted = ", ".join(f"{counts[word]} {word}" for word in known if counts[word] or word != words.unknown)
    rows = []
    for job in _shown(jobs, problems):
        age = None if job.age is None else int(max(job.age, 0))
        failures = f"{job.failures}/{job.sensitivity}"
        times = (job.last_end, duration_text(age), duration_text(job.duration))
        cells = (_word(job, words), job.name, *times, failures, _reason(job, words, zoned=False) or job.outlook)
        rows.append(Row(cells, _code(job) if job.active else None))
    return Table(COLUMNS, rows, f"{counted} ({title})")


def _reason(job: Job, words: Words, zoned: bool) -> str:
    if not job.active:
        return "not watched: active is false"
    return job.reason(words, 500, whole=True, zoned=zoned)


def json_object(job: Job, words: Words) -> dict[str, Any]:
    """The job for JSON: its state, the reason, and all the columns of the check's query."""
    return {"state": _word(job, words), "reason": _reason(job, words, zoned=True), **job._asdict()}
