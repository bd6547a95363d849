"""What the report shows of one job log: the judged jobs, their runs in a window, when they were missing. Draws nothing."""

from collections import namedtuple
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from check_jobmon.ctl.connecting import JobLog
from check_jobmon.ctl.run_queries import Run, runs
from check_jobmon.judging.job import Job, Words
from check_jobmon.judging.result import WORST_FIRST
from check_jobmon.schema.scripts import CALENDAR
from check_jobmon.sql_files import fill, sql_file
from check_jobmon.text import cut

FEW, MANY, MOST = 1000, 10_000, 4000
"""The runs in the same slot of the window are drawn as one. It has FEW slots, or MANY if there are fewer than MOST runs."""
JOBS = 2000
"""Jobs of a log that are on the page, the worst first: nobody looks at more."""
ROOM = 200
"""How many failures are shown with their steps, of all jobs together. The fewer of each job, the shorter their texts, too."""

# The rows of the queries in this folder, without the jobs' numbers. Times and durations are in seconds, since the window began.
Slot = namedtuple("Slot", "began ended runs failures alert_code longest job_id started slots")
Gap = namedtuple("Gap", "began ended due until")
Start = namedtuple("Start", "day hour runs failures")
Figures = namedtuple("Figures", "runs failures median usual_limit warn_duration error_duration min_duration")
Step = namedtuple("Step", "action status alert_code seconds message")
Tick = namedtuple("Tick", "at label time dusk dawn")


class Shown(NamedTuple):
    """A job and what there is to show of it. `state` is the exit status that the plugin gives it, None if it isn't watched."""

    job: Job
    state: int | None
    reason: str
    figures: Figures
    slots: Sequence[Slot]
    starts: Sequence[Start]
    gaps: Sequence[Gap]
    open_runs: Sequence[Run]
    failed: Sequence[tuple[Run, Sequence[Step]]]


class Log(NamedTuple):
    """One job log, judged; if it couldn't be, without jobs: `first_line` has the reason. `state` is the exit status of the
    plugin; `seconds` and `ticks` are the window's length and lines, `until` is its end in seconds since 1970, `now` for people.
    `left_out` is how many jobs are not in `jobs`.
    """

    host: str
    state: int
    first_line: str
    words: Words = Words()
    jobs: Sequence[Shown] = ()
    seconds: float = 0.0
    until: float = 0.0
    now: str = ""
    zone: str = ""
    ticks: Sequence[Tick] = ()
    left_out: int = 0


async def collecting(log: JobLog, patterns: Sequence[str], seconds: float) -> Log:
    """Ask for all of it. Raises ExpectedError, and psycopg's errors."""
    result, found = await log.judged(patterns)
    clock = await log.asking("SELECT extract(epoch FROM now())::float8, to_char(now(), 'YYYY-MM-DD HH24:MI')")
    until, now = clock[0]
    query = _Queries(log, seconds, until)
    jobs = sorted(found.jobs, key=lambda job: (not job.active, WORST_FIRST.index(job.state()), job.name))
    left_out = max(0, len(jobs) - JOBS)
    jobs = jobs[:JOBS]
    asked = [job.name for job in jobs]
    room = max(1, min(5, ROOM // (len(jobs) or 1)))
    slots = await query.by_job("slots", asked)
    starts = await query.by_job("starts", asked)
    gaps = await query.by_job("gaps", asked)
    figures = await query.by_job("figures", asked)
    opened = _by_name(await runs(log, query.text("open_runs"), asked))
    failed = _by_name(await runs(log, query.text("last_failures", room=str(room)), asked))
    steps: dict[int, list[Step]] = {}
    ids = [run.job_id for some in failed.values() for run in some]
    steps_of_runs = sql_file("ctl/report/steps_of_runs.sql")
    for row in (await log.asking(steps_of_runs, ROOM * room, ids, 2 * room - 1)) if ids else ():
        steps.setdefault(row[0], []).append(Step(*row[1:]))
    shown = [
        Shown(
            job,
            job.state() if job.active else None,
            cut(job.reason(found.words, 500, whole=True, zoned=False), 1000 * room),
            Figures(*figures[number][0]),
            [Slot(*row) for row in slots.get(number, ())],
            [Start(*row) for row in starts.get(number, ())],
            [*(Gap(*row) for row in gaps.get(number, ())), *_gap_until_now(job, seconds)],
            opened.get(job.name[:500], ()),
            [(run, steps.get(run.job_id, ())) for run in failed.get(job.name[:500], ())],
        )
        for number, job in enumerate(jobs, 1)
    ]
    ticks = await query.ticks()
    said = (log.session.dbname, result.state, result.first_line, found.words)
    return Log(*said, tuple(shown), seconds, until, now, log.session.zone, ticks, left_out)


def _by_name(found: Sequence[Run]) -> dict[str, list[Run]]:
    """By the jobs' names, each the newest first."""
    named: dict[str, list[Run]] = {}
    for run in sorted(found, key=attrgetter("start_time"), reverse=True):
        named.setdefault(run.job_name, []).append(run)
    return named


def _gap_until_now(job: Job, seconds: float) -> list[Gap]:
    """The gap that has not ended yet, if the job is missing."""
    if job.missing_code < 2 or job.undue or job.alive_job_id is not None:
        return []
    idle = job.expected_for if job.age is None else job.age
    past = job.late if job.late is not None else seconds if idle is None else idle - (job.warn_after or 0)
    return [Gap(max(0.0, seconds - past), seconds, (job.due or "").rpartition(" ")[0], "")]


class _Queries:
    """The queries of this folder on a window of so many seconds."""

    def __init__(self, log: JobLog, seconds: float, until: float) -> None:
        self.log, self.seconds = log, seconds
        self.values = {
            **{"until": f"to_timestamp({until!r})", "since": f"to_timestamp({until - seconds!r})"},
            **{"seconds": repr(seconds), "few": str(FEW), "many": str(MANY), "most": str(MOST)},
            "probe": str(log.version >= CALENDAR).lower(),
        }

    def text(self, name: str, **values: str) -> str:
        """A query, without what JobLog.rows fills in."""
        return fill(sql_file(f"ctl/report/{name}.sql"), {**self.values, **values})

    async def by_job(self, name: str, asked: list[str]) -> dict[int, list[tuple[Any, ...]]]:
        """The rows of a query by the jobs' numbers, which are its first column."""
        found: dict[int, list[tuple[Any, ...]]] = {}
        # as for the check: otherwise, sorts of 100,000 runs would go to disk
        settings = "SET LOCAL jit = off; SET LOCAL work_mem = '64MB';"
        for row in await self.log.asking(settings + self.text(name), asked):
            found.setdefault(row[0], []).append(row[1:])
        return found

    async def ticks(self) -> list[Tick]:
        """The lines: for some hours, for each day, or for fewer days, so that their labels have room."""
        days = self.seconds / 86400
        if days > 400:
            asked = "YYYY", "year", f"{max(1, round(days / 7000))} years"
        elif days > 3:
            asked = "Dy DD Mon" if days <= 8 else "DD Mon", "day", f"{max(1, round(days / 31))} days"
        else:
            asked = "HH24:MI", "hour" if days <= 1 else "day", f"{max(1, round(days * 3))} hours"
        rows = await self.log.asking(self.text("ticks"), *asked)
        return [Tick(*row) for row in rows]
