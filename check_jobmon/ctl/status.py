"""jobmonctl status: shows all jobs as check_jobmon judges them, as a table."""

import argparse
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import psycopg

from check_jobmon.config.connection_options import option
from check_jobmon.ctl.arguments import add_session_arguments, describe, print_error, seconds
from check_jobmon.ctl.connecting import FAILURES, JobLog, connect, in_job_log, reason_of
from check_jobmon.ctl.run_queries import duration_text
from check_jobmon.ctl.table import Row, Table, coloured, console, show, show_json
from check_jobmon.judging.job import Job, Words

NOW = "%Y-%m-%d %H:%M:%S %z"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    describe(
        parser,
        "Shows the jobs as check_jobmon sees them, the worst first: those that are\n"
        "configured, have failed since they last succeeded, or have an open run.",
        "  jobmonctl status -d etl\n  jobmonctl status -d etl --watch 5",
        "0 done, whatever state the jobs are in (check_jobmon's own exit status tells),\n"
        "  1 not done (stderr says why in one line), 2 wrong arguments",
    )
    add_session_arguments(parser)
    text = "repeat every SECONDS (default: 2) until Ctrl-C, even while the server can't be reached"
    option(parser, "--watch SECONDS", text, seconds, nargs="?", const=2.0)
    option(parser, "--json", "print JSON, for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print the table, once or again and again."""
    if arguments.watch and arguments.json:
        print_error(arguments, "--watch and --json can't be combined")
        return 2
    return _show(arguments)


@in_job_log
def _show(log: JobLog, arguments: argparse.Namespace) -> int:
    if arguments.json:
        words, jobs = _judge(log)
        show_json(json_object(job, words) for job in jobs)
    elif arguments.watch:
        _watch(_Watched(log, arguments), arguments.watch)
    else:
        show(_look(log))
    return 0


def _judge(log: JobLog) -> tuple[Words, list[Job]]:
    words, jobs, _ = log.judge()
    return words, sorted(jobs, key=lambda job: (not job.active, -_code(job), job.name))


def _look(log: JobLog) -> Table:
    words, jobs = _judge(log)
    return table(jobs, words, time.strftime(NOW))


class _Watched:
    """The table, looked at repeatedly: while the server is away, the last one, with the reason in its title."""

    def __init__(self, log: JobLog, arguments: argparse.Namespace) -> None:
        self.log: JobLog | None = log
        self.arguments = arguments
        self.last = _look(log)

    def look(self) -> Table:
        schema = ""
        try:
            if self.log is None:
                session, schema = connect(self.arguments)
                self.log = JobLog(session, schema)
            self.last = _look(self.log)
            return self.last
        except psycopg.Error as error:
            reason = reason_of(error, self.log.schema if self.log else schema, self.arguments.timeout)
        except FAILURES as error:
            reason = str(error)
        if self.log:
            self.log.session.close()
            self.log = None
        now = time.strftime(NOW)
        return replace(self.last, title=f"{now}: trying again, because {reason}; it was {self.last.title}")


def _watch(watched: _Watched, pause: float) -> None:
    """Redraws the table in place on a terminal, else prints one after the other, until Ctrl-C."""
    on = console()
    try:
        if on is None:
            while True:
                show(watched.look())
                print(flush=True)
                time.sleep(pause)
        from rich.live import Live

        with Live(coloured(watched.last), console=on, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(pause)
                live.update(coloured(watched.look()), refresh=True)
    except KeyboardInterrupt:
        pass


def _code(job: Job) -> int:
    """The alert code, in which a crash counts as a warning, check_jobmon's default."""
    return max(job.alert_code, 2 if job.crashed else 1)


def _word(job: Job, words: Words) -> str:
    return words[_code(job) - 1] if job.active else "-"


def table(jobs: list[Job], words: Words, title: str) -> Table:
    """The jobs as a table, under a line that counts them."""
    counts = Counter(_code(job) for job in jobs if job.active)
    counted = ", ".join(f"{counts[code]} {words[code - 1]}" for code in (3, 2, 1))
    rows = []
    for job in jobs:
        age = None if job.age is None else int(max(job.age, 0))
        failures = f"{job.failures}/{job.sensitivity}"
        times = (job.last_end, duration_text(age), duration_text(job.duration))
        cells = (_word(job, words), job.name, *times, failures, _reason(job, words))
        rows.append(Row(cells, _code(job) if job.active else None))
    columns = ("STATE", "JOB", "LAST RUN", "AGE", "TOOK", "FAILURES", "REASON")
    return Table(columns, rows, ("AGE", "TOOK", "FAILURES"), title=f"{counted}  ({title})")


def _reason(job: Job, words: Words) -> str:
    if not job.active:
        return "not watched: active is false"
    return job.reason(words, 500) or ("running" if job.alive_job_id and not job.unverified else "")


def json_object(job: Job, words: Words) -> dict[str, Any]:
    """The job for JSON: its state, the reason, and all the columns of the check's query."""
    return {"state": _word(job, words), "reason": _reason(job, words), **job._asdict()}
