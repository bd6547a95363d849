"""jobmonctl status: the check's view of all jobs, as a table."""

import argparse
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from check_jobmon.ctl.parser import add_command, seconds

if TYPE_CHECKING:
    from check_jobmon.ctl.runner import JobLog
    from check_jobmon.ctl.table import Table
    from check_jobmon.judging.job import Job, Words


NOW = "%Y-%m-%d %H:%M:%S %z"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "status",
        run,
        "what check_jobmon says of each job",
        "Shows the jobs as check_jobmon sees them, the worst first: those that are\n"
        "configured, have failed since they last succeeded, or have an open run.",
        "  jobmonctl status -d etl\n  jobmonctl status -d etl --watch 5",
        "0 done, whatever state the jobs are in (check_jobmon's own exit status tells),\n"
        "  1 not done (stderr says why in one line), 2 wrong arguments",
    )
    parser.add_argument(
        "--watch",
        nargs="?",
        type=seconds,
        const=2.0,
        metavar="SECONDS",
        help="look again every so many seconds (2), until Ctrl-C, also while the server is away",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print the table, once or again and again."""
    from check_jobmon.ctl.runner import talk
    from check_jobmon.ctl.table import show, show_json

    if arguments.watch and arguments.json:
        import sys

        print("jobmonctl status: --watch is for people, --json for programs: give one of them", file=sys.stderr)
        return 2

    def work(log: "JobLog") -> int:
        if arguments.json:
            words, jobs = _judge(log)
            show_json(json_object(job, words) for job in jobs)
        elif arguments.watch:
            _watch(_Watched(log, arguments), arguments.watch)
        else:
            show(_look(log))
        return 0

    return talk(arguments, work)


def _judge(log: "JobLog") -> "tuple[Words, list[Job]]":
    words, jobs, _ = log.judge()
    return words, sorted(jobs, key=lambda job: (not job.active, -_code(job), job.name))


def _look(log: "JobLog") -> "Table":
    words, jobs = _judge(log)
    return table(jobs, words, time.strftime(NOW))


class _Watched:
    """The table, again and again: where the server goes away, as it was last, with what is wrong, until it is back."""

    def __init__(self, log: "JobLog", arguments: argparse.Namespace) -> None:
        self.log: JobLog | None = log
        self.arguments = arguments
        self.last = _look(log)

    def look(self) -> "Table":
        import psycopg

        from check_jobmon.config.hosts import ConfigFileError
        from check_jobmon.connection.errors import CheckImpossible, DatabaseUnreachable
        from check_jobmon.ctl.runner import JobLog, reason_of

        try:
            self.log = self.log or JobLog(self.arguments)
            self.last = _look(self.log)
            return self.last
        except psycopg.Error as error:
            reason = reason_of(error, str(self.arguments.schema), self.arguments.timeout)
        except (DatabaseUnreachable, CheckImpossible, ConfigFileError) as error:
            reason = str(error)
        if self.log:
            self.log.session.close()
            self.log = None
        now = time.strftime(NOW)
        return replace(self.last, title=f"{now}: trying again, because {reason}; it was {self.last.title}")


def _watch(watched: _Watched, pause: float) -> None:
    """On a terminal in place, elsewhere one table after the other. Ctrl-C is the way out."""
    from check_jobmon.ctl.table import coloured, console, show

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


def _code(job: "Job") -> int:
    """The alert code, with what a crash counts for unless check_jobmon is told otherwise."""
    return max(job.alert_code, 2 if job.crashed else 1)


def _word(job: "Job", words: "Words") -> str:
    return words.of(_code(job) - 1) if job.active else "-"


def table(jobs: "list[Job]", words: "Words", title: str) -> "Table":
    """The jobs as a table, under a line that counts them."""
    from check_jobmon.ctl.run_queries import took
    from check_jobmon.ctl.table import Row, Table

    counts = Counter(_code(job) for job in jobs if job.active)
    counted = ", ".join(f"{counts[code]} {words.of(code - 1)}" for code in (3, 2, 1))
    return Table(
        ("STATE", "JOB", "LAST RUN", "AGE", "TOOK", "FAILURES", "REASON"),
        tuple(
            Row(
                (
                    _word(job, words),
                    job.name,
                    job.last_end,
                    took(None if job.age is None else int(max(job.age, 0))),
                    took(job.duration),
                    f"{job.failures}/{job.sensitivity}",
                    _reason(job, words),
                ),
                _code(job) if job.active else None,
            )
            for job in jobs
        ),
        right=frozenset({"AGE", "TOOK", "FAILURES"}),
        title=f"{counted}  ({title})",
    )


def _reason(job: "Job", words: "Words") -> str:
    if not job.active:
        return "not watched: active is false"
    return job.reason(words, 500) or ("running" if job.alive_job_id and not job.unverified else "")


def json_object(job: "Job", words: "Words") -> dict[str, Any]:
    """The job for JSON: its state, why, and all that the check knows of it."""
    return {"state": _word(job, words), "reason": _reason(job, words), **job._asdict()}
