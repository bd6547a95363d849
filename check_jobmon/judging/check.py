"""nagiosplugin's three parts: the Resource that holds the jobs, the Context that gives their states, the Summary."""

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter

import nagiosplugin
from nagiosplugin.state import Critical, Ok, Unknown, Warn

from check_jobmon.connection.errors import CheckImpossible
from check_jobmon.judging.job import Job, Step, Words
from check_jobmon.judging.job_log import STEPS, History, Inquiry
from check_jobmon.judging.perfdata import job_perfdata, summary_perfdata
from check_jobmon.judging.result import HEADLINE, STATES, WORST_FIRST, JobResult, Result
from check_jobmon.judging.selection import Selection, UnknownJob, unknown
from check_jobmon.schema.scripts import FAILURES
from check_jobmon.text import aligned, as_many_as_fit, clean, counted, duration, heading, title

SERVICE_STATES = (Ok, Warn, Critical, Unknown)
"""The states by exit status."""


class MonitoredJobs(nagiosplugin.Resource):
    """Acquisition: one metric for each job to be judged, whose value is the Job.

    `jobs` are all selected jobs, sorted by name, also those that are not active; `steps` has the steps of last runs by job_id.
    `history` is empty unless the caller fills it in.
    """

    name = "JOBMON"
    """The service's name, first in the plugin's output."""

    def __init__(self, jobs: list[Job], words: Words, steps: dict[int, list[Step]]) -> None:
        self.jobs, self.words, self.steps = jobs, words, steps
        self.history: History = {}

    def probe(self) -> Iterator[nagiosplugin.Metric]:
        """The jobs that are watched."""
        return (nagiosplugin.Metric(job.name, job, context="job") for job in self.jobs if job.active)


async def acquire(
    log: Inquiry, selection: Selection, failures: int = FAILURES, verbose: int = 1, silences: bool = True
) -> MonitoredJobs:
    """Ask the database: from `verbose` 1 on also what open runs wait for, from 2 on the steps of last runs.

    Raises DatabaseUnreachable or CheckImpossible.
    """
    words, jobs, steps = await log.judging(selection, failures, verbose, silences)
    for pattern in log.selection.unmatched(jobs):
        names = await log.naming()
        raise UnknownJob(unknown(pattern, names))
    jobs = sorted((job for job in jobs if job in log.selection), key=attrgetter("name"))
    if selection.include and not jobs:
        raise CheckImpossible("--exclude leaves nothing of what --job names")
    return MonitoredJobs(jobs, words, steps)


class JobContext(nagiosplugin.Context):
    """Evaluation: the state is the job's; `crashed` is the exit status that a crash counts for."""

    def __init__(self, crashed: int) -> None:
        super().__init__("job")
        self.crashed = crashed

    def evaluate(self, metric: nagiosplugin.Metric, resource: MonitoredJobs) -> nagiosplugin.Result:
        """The job's state, and why."""
        job: Job = metric.value
        return nagiosplugin.Result(SERVICE_STATES[job.state(self.crashed)], job.reason(resource.words) or None, metric)


class JobSummary(nagiosplugin.Summary):
    """Presentation: the first line counts the states and names the worst jobs; the long output has a line a job.

    The zone, in which all times are, is named once: in the table's head, or by its abbreviation behind the first time.
    """

    def __init__(self, resource: MonitoredJobs, verbosity: int, zone: str) -> None:
        self.resource = resource
        self.verbosity = verbosity
        self.zone = zone

    def ok(self, results: nagiosplugin.Results) -> str:
        """The first line where all is well."""
        tolerated = self._tolerated(results)
        return f"{self._counts(results)}: {f'no alert, but {tolerated}' if tolerated else 'all jobs run successfully'}"

    def empty(self) -> str:
        """The first line where there is nothing to judge."""
        if self.resource.jobs:
            names = _some([title(job.name) for job in self.resource.jobs])
            return f"nothing is watched: active is false in job_check_config for {names}"
        return "All jobs run successfully: none is configured, and none failed"

    def problem(self, results: nagiosplugin.Results) -> str:
        """The first line where something is wrong: the worst first, then by name, as nagiosplugin has the results."""
        found = [r for r in results if r.state != Ok]
        url = found[0].metric.value.runbook_url if len(found) == 1 else ""
        return f"{self._counts(results)}: {self._headline(found)[0]}" + (f", runbook: {url}" if url else "")

    def verbose(self, results: nagiosplugin.Results) -> list[str]:
        """The long output: a line for each problem; with -v a table of all jobs, with -vv also their steps."""
        if not self.verbosity:
            found = [r for r in results if r.state != Ok]
            first = self._headline(found)[1]
            return [
                line
                for r in found
                for line in (
                    f"{self._word(r)} {title(r.metric.name)}: {self._reason(r, r is first)}",
                    *(f"    {line}" for line in r.metric.value.about),
                )
            ]
        if not self.resource.jobs:
            return []
        rows = [(self._word(r), r.metric.value, self._reason(r)) for r in results]
        words = self.resource.words
        rows += [("-", job, job.reason(words, whole=True)) for job in self.resource.jobs if not job.active]
        head, *lines = aligned([job_columns(self.zone), *(job_cells(*row) for row in rows)])
        shown = [head]
        for line, (_, job, reason) in zip(lines, rows, strict=True):
            steps = self.resource.steps.get(job.last_job_id or 0, [])
            about = job.about if self.verbosity > 1 or reason else []
            shown += [line, *(f"    {text}" for text in (*about, *_steps(steps, job.last_job_id)))]
        return shown

    def _counts(self, results: nagiosplugin.Results) -> str:
        counts = zip(count_states(results), WORST_FIRST, strict=True)
        shown = [f"{number} {self.resource.words[state].lower()}" for number, state in counts if number or state == 0]
        quiet = zip(count_quiet(results), ("silenced", "waiting"), strict=True)
        return ", ".join([*shown, *(f"{number} {word}" for number, word in quiet if number)])

    def _headline(self, found: list[nagiosplugin.Result]) -> tuple[str, nagiosplugin.Result | None]:
        """As many of these problems as fit into the first line; and the first one with a time, if it isn't among them."""
        first = next((r for r in found if r.metric.value.is_timed), None)
        problems = {}
        for r in found:
            bare = r.metric.value.is_timed and (self.verbosity or r is not first)
            hint = r.metric.value.reason(self.resource.words, zoned=False) if bare else r.hint
            problems[r.metric.name] = f"{title(r.metric.name)} {clean(hint)}"
        text = as_many_as_fit(list(problems.values()), HEADLINE)
        return text, None if first is None or problems[first.metric.name] in text else first

    def _tolerated(self, results: nagiosplugin.Results) -> str:
        """Failures and crashes that sensitivity or --crashed tolerates."""
        jobs: list[Job] = [result.metric.value for result in results]
        jobs = [job for job in jobs if not job.silence]
        waiting = [job for job in jobs if job.cause is not None]
        return _some(
            [f"{title(job.name)} failed {counted(job.failures, 'time')}" for job in jobs if job.failures]
            + [f"{title(job.name)} crashed" for job in jobs if job.crashed]
            + [f"{title(job.name)} {job.waiting(not self.verbosity and job is waiting[0])}" for job in waiting]
            + [f"{title(result.metric.name)} is silenced" for result in results if result.metric.value.silence]
        )

    def _word(self, result: nagiosplugin.Result) -> str:
        return self.resource.words[int(result.state)]

    def _reason(self, result: nagiosplugin.Result, zoned: bool = False) -> str:
        return clean(result.metric.value.reason(self.resource.words, 500, self.verbosity > 0, zoned))


def job_columns(zone: str = "") -> tuple[str, ...]:
    """The head of a table of jobs. It names the time zone of their times if that is given."""
    return ("STATE", "JOB", heading("LAST RUN", zone), "AGE", "TOOK", "FAILURES", "REASON")


def job_cells(word: str, job: Job, reason: str, length: int = 100) -> tuple[str, ...]:
    """A job's row in that table: `word` is its state, and its name is cut to `length` (0: not cut)."""
    return (
        word,
        title(job.name, length),
        job.last_end,
        "-" if job.age is None else duration(max(job.age, 0)),
        "-" if job.duration is None else duration(job.duration, fraction=True),
        f"{job.failures}/{job.sensitivity}",
        reason or job.outlook,
    )


def count_states(results: nagiosplugin.Results) -> tuple[int, ...]:
    """How many jobs are in each state, in the order of WORST_FIRST."""
    numbers = Counter(int(result.state) for result in results)
    return tuple(numbers[state] for state in WORST_FIRST)


def count_quiet(results: nagiosplugin.Results) -> tuple[int, int]:
    """How many jobs are silenced, and how many of the others don't alert because they wait for another."""
    jobs: list[Job] = [result.metric.value for result in results]
    return sum(job.silence for job in jobs), sum(job.cause is not None and not job.silence for job in jobs)


def _some(texts: list[str]) -> str:
    """Three at most, and how many more there are."""
    return ", ".join(texts[:3]) + (f", and {len(texts) - 3} more" if len(texts) > 3 else "")


def _steps(steps: list[Step], job_id: int | None) -> list[str]:
    if len(steps) > STEPS:
        more = f"its last {STEPS} steps; those before are left out, jobmonctl detail {job_id} shows them"
        return [more, *(step.replace(".", "…", 1) for step in _steps(steps[-STEPS:], job_id))]
    lines = []
    for number, step in enumerate(steps, 1):
        status = clean(step.status or ("open" if step.elapsed is None else ""), 40)
        took = "" if step.elapsed is None else duration(step.elapsed, fraction=True)
        said = (status, took, clean(step.message or "", 500))
        lines.append(f"{number}. {clean(step.action, 80)}: {', '.join(filter(None, said))}")
    return lines


def judged(log: Inquiry, jobs: MonitoredJobs, verbose: int, crashed: str, perfdata: str, with_jobs: bool) -> Result:
    """The result of the jobs, and with `with_jobs` also of each of them.

    `verbose` is how often -v was given, `crashed` the state of a crashed job, `perfdata` which figures to give.
    """
    summary = JobSummary(jobs, verbose, log.session.zone)
    check = nagiosplugin.Check(jobs, JobContext(STATES.index(crashed)), summary)
    check()
    long_output = list(check.verbose_str or [])
    if verbose:
        long_output += [f"note: {clean(note)}" for note in log.notes]
    if verbose >= 3:
        connected = f"connection: {clean(log.describe())}, in {log.session.connect_seconds:.3f}s"
        queried = f'query: job_status.sql on schema "{clean(log.schema)}", {log.rows} rows, in {log.query_seconds:.3f}s'
        long_output += [connected, queried]
    counts = count_states(check.results)
    # Nothing monitored is fine; nagiosplugin would call no results unknown.
    state = next((state for state, number in zip(WORST_FIRST, counts, strict=True) if number), 0)
    quiet = count_quiet(check.results)
    figures = [] if perfdata == "none" else [summary_perfdata(counts, quiet, log.query_seconds)]
    if perfdata in ("all", "problems"):
        figures += [job_perfdata(r.metric.value) for r in check.results if perfdata == "all" or int(r.state)]
    states = [(r.metric.value, int(r.state), r.hint or "") for r in check.results if with_jobs]
    states += [(job, 0, "") for job in jobs.jobs if with_jobs and not job.active]
    each = tuple(JobResult(*state, *jobs.history.get(state[0].name, (None, 0))) for state in states)
    return Result(state, jobs.words[state], check.summary_str, long_output, figures, counts, each, log.query_seconds)
