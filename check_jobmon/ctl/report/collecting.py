"""What the report shows of one job log: the judged jobs, their runs in a window, when they were missing. Draws nothing."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from check_jobmon.ctl.connecting import JobLog
from check_jobmon.ctl.run_queries import Run, runs
from check_jobmon.judging.job import Job, Words
from check_jobmon.schema.scripts import CALENDAR
from check_jobmon.sql_files import fill, sql_file

FEW, MANY = 1000, 10_000
"""Slots of the window in which runs are drawn as one, if there are many runs, or few."""
MOST = 4000
"""Runs up to which they are few; also how many open runs are read."""
WORST_FIRST = (2, 1, 3, 0)
"""Exit statuses in the order in which the plugin has them."""
ROOM = 200
"""Failures that are shown with their steps, in all, and how many characters of each: fewer if there are more jobs."""


class Slot(NamedTuple):
    """The runs of a job that began in one slot of time: slots.sql. Times are in seconds since the window began."""

    began: float
    ended: float
    runs: int
    failures: int
    alert_code: int
    longest: float | None
    job_id: int
    started: str
    slots: int


class Gap(NamedTuple):
    """A time in which a job was missing: gaps.sql. `until` is empty if it still is."""

    began: float
    ended: float
    due: str
    until: str


class Start(NamedTuple):
    """How many runs began in an hour of a day of the week, from Monday as 0."""

    day: int
    hour: int
    runs: int
    failures: int


class Figures(NamedTuple):
    """figures.sql, without the job's number."""

    runs: int = 0
    failures: int = 0
    median: float | None = None
    usual_limit: float | None = None
    warn_duration: float | None = None
    error_duration: float | None = None
    min_duration: float | None = None


class Step(NamedTuple):
    """A step of a run that failed."""

    action: str
    status: str | None
    alert_code: int | None
    seconds: float | None
    message: str | None


class Tick(NamedTuple):
    """A line of the timeline, and the night around it."""

    at: float
    label: str
    time: str
    dusk: float
    dawn: float


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
    """One job log, judged; or why it couldn't be: `problem`. `state` is the exit status of the plugin. `seconds` and `ticks` are
    the window's length and lines, `until` its end in seconds since 1970, `now` the same for people, with the zone.
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
    problem: bool = False


def collect(log: JobLog, host: str, patterns: Sequence[str], seconds: float, names: int = 1) -> Log:
    """Read all of it. `names`: how many logs share the page. Raises one of connecting.FAILURES, and psycopg's errors."""
    result, found = log.judged(patterns)
    query = _Queries(log, seconds)
    states = {one.job.name: one.state for one in result.jobs}
    jobs = sorted(found.jobs, key=lambda job: (not job.active, WORST_FIRST.index(states.get(job.name, 0)), job.name))
    asked = [job.name for job in jobs]
    room = max(1, min(5, ROOM // (len(jobs) * names or 1)))
    slots = query.by_job("slots", asked, few=str(FEW), many=str(MANY), most=str(MOST))
    starts = query.by_job("starts", asked)
    gaps = query.by_job("gaps", asked, probe=str(log.version >= CALENDAR).lower(), few=str(FEW))
    figures = query.by_job("figures", asked)
    opened: dict[str, list[Run]] = {}
    for run in runs(log, query.text("open_runs", most=str(MOST)), asked):
        opened.setdefault(run.job_name, []).append(run)
    failed: dict[str, list[Run]] = {}
    for run in runs(log, query.text("last_failures", room=str(room)), asked):
        failed.setdefault(run.job_name, []).append(run)
    steps: dict[int, list[Step]] = {}
    ids = [run.job_id for found_runs in failed.values() for run in found_runs]
    for row in log.rows(sql_file("ctl/report/steps_of_runs.sql"), ROOM * room, ids, 2 * room - 1) if ids else ():
        steps.setdefault(row[0], []).append(Step(*row[1:]))
    shown = []
    for number, job in enumerate(jobs, 1):
        name = job.name[:500]
        shown.append(
            Shown(
                job,
                states.get(job.name, 0) if job.active else None,
                job.reason(found.words, 500, whole=True, zoned=False) if job.active else "not watched: active is false",
                Figures(*figures[number][0]) if number in figures else Figures(),
                [Slot(*row) for row in slots.get(number, ())],
                [Start(*row) for row in starts.get(number, ())],
                [*(Gap(*row) for row in gaps.get(number, ())), *_gap_until_now(job, seconds)],
                opened.get(name, ()),
                [
                    (run, steps.get(run.job_id, ()))
                    for run in sorted(failed.get(name, ()), key=attrgetter("start_time"), reverse=True)
                ],
            )
        )
    return Log(
        host,
        result.state,
        result.first_line,
        found.words,
        shown,
        seconds,
        query.until,
        query.now,
        log.session.zone,
        query.ticks(),
    )


def _gap_until_now(job: Job, seconds: float) -> list[Gap]:
    """If the job is missing, since when."""
    if job.missing_code < 2 or job.undue or job.alive_job_id is not None:
        return []
    idle = job.expected_for if job.age is None else job.age
    past = job.late if job.late is not None else seconds if idle is None else idle - (job.warn_after or 0)
    return [Gap(max(0.0, seconds - past), seconds, (job.due or "").rpartition(" ")[0], "")]


class _Queries:
    """The queries of this folder on a window that ends now, by the server's clock."""

    def __init__(self, log: JobLog, seconds: float) -> None:
        self.log, self.seconds = log, seconds
        clock = "SELECT extract(epoch FROM now())::float8, to_char(now(), 'YYYY-MM-DD HH24:MI')"
        self.until, self.now = log.rows(clock)[0]
        self.values = {
            "until": f"to_timestamp({self.until!r})",
            "since": f"to_timestamp({self.until - seconds!r})",
            "seconds": repr(seconds),
            "window": sql_file("ctl/report/runs_in_window.sql"),
            "config": sql_file("schema/config.sql"),
            "usual_duration": sql_file("schema/usual_duration.sql"),
        }

    def text(self, name: str, **values: str) -> str:
        """A query, without what JobLog.rows fills in."""
        query = sql_file(f"ctl/report/{name}.sql")
        for part in ("window", "config", "usual_duration"):
            query = query.replace(f"@{part}@", self.values[part])
        return fill(query, {**self.values, **values})

    def by_job(self, name: str, asked: list[str], **values: str) -> dict[int, list[tuple[Any, ...]]]:
        """The rows by the jobs' numbers, without these."""
        found: dict[int, list[tuple[Any, ...]]] = {}
        # as the check has them: sorts of 100,000 runs go to disk otherwise
        settings = "SET LOCAL jit = off; SET LOCAL work_mem = '64MB';"
        for row in self.log.rows(settings + self.text(name, **values), asked):
            found.setdefault(row[0], []).append(row[1:])
        return found

    def ticks(self) -> list[Tick]:
        """The lines: for each third hour, for each day, or for fewer days, so that their labels have room."""
        days = self.seconds / 86400
        if days <= 3:
            asked = (
                "HH24:MI",
                "hour" if days <= 1 else "day",
                "1 hour" if days <= 0.5 else "3 hours" if days <= 1 else "6 hours",
            )
        else:
            asked = ("Dy DD Mon" if days <= 8 else "DD Mon", "day", f"{max(1, round(days / 31))} days")
        if days > 400:
            asked = ("YYYY", "year", f"{max(1, round(days / 366 / 20))} years")
        rows = self.log.rows(self.text("ticks"), *(asked[0], asked[1], asked[2]))
        return [Tick(*row) for row in rows]
