"""nagiosplugin's three parts: the Resource that holds the jobs, the Context that gives their states, the Summary."""

from collections.abc import Iterator

import nagiosplugin
from nagiosplugin.state import Critical, Ok, ServiceState, Warn

from check_jobmon.connection.errors import CheckImpossible
from check_jobmon.connection.session import Asking
from check_jobmon.judging.job import Job, Step, Words
from check_jobmon.judging.job_log import STEPS, Inquiry
from check_jobmon.judging.selection import EVERY_JOB, Selection, nearest
from check_jobmon.schema.scripts import FAILURES
from check_jobmon.text import aligned, clean, counted, duration, title

STATES: dict[str, ServiceState] = {"ok": Ok, "warning": Warn, "critical": Critical}
HEADLINE = 400
"""Characters that the first line spends on naming problem jobs; the rest are counted."""


class MonitoredJobs(nagiosplugin.Resource):
    """Acquisition: one metric for each job to be judged, whose value is the Job.

    `jobs` are all selected jobs, those that job_check_config has as not active too; `steps` those of their last runs.
    """

    def __init__(self, jobs: list[Job], words: Words, steps: dict[int, list[Step]]) -> None:
        self.jobs, self.words, self.steps = jobs, words, steps

    @property
    def name(self) -> str:
        """The service's name, first in the plugin's output."""
        return "JOBMON"

    def probe(self) -> Iterator[nagiosplugin.Metric]:
        """The jobs that are watched."""
        for job in self.jobs:
            if job.active:
                yield nagiosplugin.Metric(job.name, job, context="job")


def acquire(
    log: Inquiry, selection: Selection = EVERY_JOB, failures: int = FAILURES, with_steps: bool = False
) -> Asking[MonitoredJobs]:
    """Ask the database. Raises DatabaseUnreachable or CheckImpossible."""
    words, jobs, steps = yield from log.judging(selection, failures, with_steps)
    for pattern in selection.unmatched(job.name for job in jobs):
        names = yield from log.naming()
        raise CheckImpossible(_no_job(pattern, names))
    jobs = [job for job in jobs if job.name in selection]
    if selection.include and not jobs:
        raise CheckImpossible("--exclude leaves nothing of what --job names")
    return MonitoredJobs(jobs, words, steps)


def _no_job(pattern: str, names: list[str]) -> str:
    near = [f'"{title(name)}"' for name in nearest(pattern, names)]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"none of the {len(names)} names known here is like it, look at them with -v -j '*'"
    else:
        hint = "nothing was, is this the right database?"
    return f'no job "{title(pattern.upper())}" was ever logged or configured: {hint}'


class JobContext(nagiosplugin.Context):
    """Evaluation: the state is the job's alert code (1 OK, 2 WARNING, 3 CRITICAL), or what a crash counts for if worse."""

    def __init__(self, crashed: ServiceState = Warn) -> None:
        super().__init__("job")
        self.crashed = crashed

    def evaluate(self, metric: nagiosplugin.Metric, resource: MonitoredJobs) -> nagiosplugin.Result:
        """The job's state, and why."""
        job: Job = metric.value
        state = (Ok, Warn, Critical)[job.alert_code - 1]
        if job.crashed:
            state = max(state, self.crashed)
        return nagiosplugin.Result(state, job.reason(resource.words) or None, metric)


class JobSummary(nagiosplugin.Summary):
    """Presentation: the first line counts the states and names the worst jobs; the long output has a line a job."""

    def __init__(self, resource: MonitoredJobs, verbosity: int = 0) -> None:
        self.resource = resource
        self.verbosity = verbosity

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
        """The first line where something is wrong: the worst first, then by name."""
        problems = [r for r in self._worst_first(results) if r.state != Ok]
        shown = ""
        for number, result in enumerate(problems):
            problem = f"{title(result.metric.name)} {result.hint}"
            if number and len(shown) + len(problem) > HEADLINE:
                return f"{self._counts(results)}: {shown}, and {len(problems) - number} more"
            shown += f", {problem}" if number else problem
        return f"{self._counts(results)}: {shown}"

    def verbose(self, results: nagiosplugin.Results) -> list[str]:
        """The long output: a line for each problem; with -v a table of all jobs, with -vv also their steps."""
        worst_first = self._worst_first(results)
        if not self.verbosity:
            return [f"{self._word(r)} {title(r.metric.name)}: {self._reason(r)}" for r in worst_first if r.state != Ok]
        if not self.resource.jobs:
            return []
        lines = aligned(
            [("STATE", "JOB", "LAST RUN", "AGE", "TOOK", "FAILURES", "REASON")]
            + [self._cells(self._word(r), r.metric.value, self._reason(r)) for r in worst_first]
            + [self._cells("-", job, "not watched: active is false") for job in self.resource.jobs if not job.active]
        )
        if self.verbosity == 1:
            return lines
        tall = lines[:1]
        jobs = [r.metric.value for r in worst_first] + [job for job in self.resource.jobs if not job.active]
        for line, job in zip(lines[1:], jobs, strict=True):
            tall.append(line)
            tall.extend(
                f"    {step}" for step in _steps(self.resource.steps.get(job.last_job_id or 0, []), job.last_job_id)
            )
        return tall

    def count(self, results: nagiosplugin.Results, state: ServiceState) -> int:
        """How many jobs are in that state."""
        return sum(1 for result in results if result.state == state)

    def _counts(self, results: nagiosplugin.Results) -> str:
        counts = [
            (self.count(results, state), self.resource.words.of(int(state)).lower()) for state in (Critical, Warn, Ok)
        ]
        return ", ".join(f"{number} {word}" for number, word in [*(c for c in counts[:-1] if c[0]), counts[-1]])

    @staticmethod
    def _tolerated(results: nagiosplugin.Results) -> str:
        """Failures and crashes that sensitivity or --crashed tolerates."""
        jobs: list[Job] = [result.metric.value for result in results]
        return _some(
            [f"{title(job.name)} failed {counted(job.failures, 'time')}" for job in jobs if job.failures]
            + [f"{title(job.name)} crashed" for job in jobs if job.crashed]
        )

    @staticmethod
    def _worst_first(results: nagiosplugin.Results) -> list[nagiosplugin.Result]:
        return sorted(results, key=lambda r: (-int(r.state), r.metric.name))

    def _word(self, result: nagiosplugin.Result) -> str:
        return self.resource.words.of(int(result.state))

    def _reason(self, result: nagiosplugin.Result) -> str:
        return result.metric.value.reason(self.resource.words, 500) if result.hint else ""

    @staticmethod
    def _cells(word: str, job: Job, reason: str) -> tuple[str, ...]:
        return (
            word,
            title(job.name),
            job.last_end,
            "-" if job.age is None else duration(max(job.age, 0)),
            "-" if job.duration is None else duration(job.duration, fraction=True),
            f"{job.failures}/{job.sensitivity}",
            reason or ("running" if job.alive_job_id and not job.unverified else ""),
        )


def _some(texts: list[str]) -> str:
    """Three at most, and how many more there are."""
    return ", ".join(texts[:3]) + (f", and {len(texts) - 3} more" if len(texts) > 3 else "")


def _steps(steps: list[Step], job_id: int | None) -> list[str]:
    if len(steps) > STEPS:
        more = f"its last {STEPS} steps; those before are left out, jobmonctl detail {job_id} shows them"
        return [more, *(step.replace(".", "…", 1) for step in _steps(steps[-STEPS:], job_id))]
    return [
        f"{number}. {clean(step.action, 80)}: "
        + ", ".join(
            part
            for part in (
                clean(step.status or ("open" if step.elapsed is None else ""), 40),
                "" if step.elapsed is None else duration(step.elapsed, fraction=True),
                clean(step.message or "", 500),
            )
            if part
        )
        for number, step in enumerate(steps, 1)
    ]
