"""One monitored job, which is one row of the check query's answer; the reason why it alerts; the words for the alert codes."""

from typing import NamedTuple

from check_jobmon.schema.scripts import UNCOUNTED
from check_jobmon.text import clean, counted, cut, duration, without_zone

A_DAY = 72000
"""Seconds for which a time of day says enough."""


class Words(NamedTuple):
    """The word for each exit status is at its index: what job_status_text calls alert codes 1, 2 and 3, and UNKNOWN."""

    ok: str = "OK"
    warning: str = "WARNING"
    critical: str = "CRITICAL"
    unknown: str = "UNKNOWN"


class Job(NamedTuple):
    """One monitored job. The fields are the columns of job_status.sql, in their order.

    Codes are alert codes (1, 2, 3). `age`, `warn_after`, `error_after` and `duration` are seconds, None where unknown, and so
    is `expected_for`: how long a job of which no run has completed is configured. `late` is how long ago the next run of a job
    with a schedule was due, at `due`; negative if that is yet to come.
    Times are texts with their zone, `done_end` as ISO 8601 has it. `failed_client` and the like are as `on db7, pid 4711`, empty
    or None for a run in a backend. `upper_name` is the name in upper case as the server has it, None if it is that already.
    A tuple, because a frozen dataclass takes twenty times as long to make.
    """

    name: str
    configured: bool
    active: bool
    alert_code: int
    failed_code: int
    missing_code: int
    duration_code: int
    missing_status: str | None
    failures: int
    sensitivity: int
    age: float | None
    warn_after: float | None
    error_after: float | None
    duration: float | None
    done_job_id: int | None
    done_end: str | None
    status: str | None
    alive_job_id: int | None
    alive_pid: int | None
    alive_start: str | None
    unverified: bool
    alive_for: float | None
    crashed_job_id: int | None
    crashed_start: str | None
    blocker_pid: int | None
    blocker_user: str | None
    blocker_application: str | None
    blocker_since: str | None
    blocked_for: float | None
    failed_action: str | None
    failed_message: str | None
    upper_name: str | None
    expected_for: float | None
    owner: str | None
    description: str | None
    runbook: str | None
    failed_client: str | None
    alive_client: str | None
    crashed_client: str | None
    schedule: str | None
    timezone: str | None
    due: str | None
    late: float | None
    duration_status: str | None
    slow_is_running: bool | None
    judged_duration: float | None
    duration_limit: float | None
    usual_duration: float | None
    cause: str | None
    cause_status: str | None
    cause_since: str | None
    depends_on: str | None
    depends_wrongly: str | None
    silence_id: int | None
    silenced_until: str | None
    silenced_by: str | None
    silence_reason: str | None

    @property
    def crashed(self) -> bool:
        """Whether a run later than the last completed one has lost its backend, as far as can be known."""
        return self.active and self.crashed_job_id is not None

    @property
    def undue(self) -> bool:
        """Whether it has a schedule by which it can't be told when it is due."""
        return self.missing_status == "UNKNOWN"

    @property
    def silence(self) -> bool:
        """Whether a silence is in force."""
        return self.silence_id is not None

    def state(self, crashed: int = 1) -> int:
        """The exit status that the job alone would give; `crashed` is what a crash counts for, WARNING unless told otherwise.

        It is UNKNOWN if nobody can tell when the job is due, and nothing makes it critical.
        """
        state = self.alert_code - 1
        if self.silence:
            return state
        state = max(state, crashed if self.crashed else 0)
        return 3 if self.undue and state < 2 else state

    def waiting(self, zoned: bool = True) -> str:
        """What a missing job waits for, so that it doesn't alert, and since when; empty if it doesn't wait."""
        if self.cause is None:
            return ""
        since = f" since {_shown(self.cause_since, zoned)}" if self.cause_since else ""
        return f"waits for {cut(self.cause, 100)} ({self.cause_status}{since})"

    @property
    def last_end(self) -> str:
        """When the last completed run ended, for people."""
        return without_zone(self.done_end) if self.done_end else "never"

    @property
    def is_timed(self) -> bool:
        """Whether a time is part of the reason."""
        since = self.missing_code > 1 and (self.cause is not None or self.late is not None)
        return since or self.crashed or self.silence

    @property
    def last_job_id(self) -> int | None:
        """The run that says most: the one that is alive, has crashed, or was the last to complete."""
        ids = [i for i in (self.alive_job_id, self.crashed_job_id, self.done_job_id) if i is not None]
        return max(ids, default=None)

    def reason(self, words: Words, length: int = 80, whole: bool = False, zoned: bool = True) -> str:
        """What is wrong with the job, in a few words; empty if nothing is.

        Texts of others in it are as they were logged, each cut to `length`. With `whole`, also what the open run does, or that
        the job isn't watched. If it is `zoned`, the first time has the abbreviation of its zone behind it.
        """
        if whole and not self.active:
            return "not watched: active is false"
        reasons = []
        if self.failed_code > 1:
            said = ": ".join(cut(text, length) for text in (self.failed_action, self.failed_message) if text)
            said = "; ".join(filter(None, [said, cut(self.failed_client or "", length)]))
            most = self.sensitivity + UNCOUNTED
            times = counted(self.failures, "time") if self.failures <= most else f"more than {most} times"
            reasons.append(f"failed {times}" + (f" ({said})" if said else ""))
        if self.missing_code > 1:
            reasons.append(self.waiting(zoned) or self._missing(words, length, zoned))
            zoned = zoned and self.cause is None and self.late is None
        if self.duration_code > 1:
            reasons.append(self._too_slow_or_fast(words))
        if self.crashed:
            where = f" {cut(self.crashed_client, length)}" if self.crashed_client else ""
            reasons.append(
                f"crashed: run {self.crashed_job_id}{where}, started {_shown(self.crashed_start, zoned)}, its backend is gone"
            )
            zoned = False
        if whole and self.alive_for is not None and self.missing_code == 1:
            reasons.append(self._running(length))
        mistakes = []
        if self.configured and any(t is not None and t <= 0 for t in (self.warn_after, self.error_after)):
            mistakes.append("its threshold in job_check_config is not positive, so it is always past")
        if reasons and self.configured and self.upper_name is not None:
            mistakes.append("its name in job_check_config is not upper case, so no run can match it")
        if self.depends_wrongly and (reasons or whole):
            why = (
                "which depends on it, or on too many" if self.depends_wrongly == "circle" else "which is not configured"
            )
            mistakes.append(f"it depends on {cut(self.depends_on or '', length)}, {why}")
        if self.silence:
            until = f"silenced until {_shown(self.silenced_until, zoned)} by {cut(self.silenced_by or '', 80)}"
            reasons.append(cut(f"{until}: {self.silence_reason}", 4 * length))
        return ": ".join(part for part in (" and ".join(reasons), ", and ".join(mistakes)) if part)

    @property
    def outlook(self) -> str:
        """What there is to say of a job of which nothing is wrong: that it runs, or when it is due."""
        if self.alive_job_id is not None and not self.unverified:
            return "running"
        return f"{'was' if (self.late or 0) > 0 else 'next'} due {_shown(self.due, zoned=False)}" if self.due else ""

    @property
    def runbook_url(self) -> str:
        """The runbook's URL for people; empty if there is none."""
        return clean(self.runbook or "", 500)

    @property
    def about(self) -> list[str]:
        """Whom to ask, what the job does, and what to do: a line for each that job_check_config has."""
        texts = {"owner": clean(self.owner or "", 200), "description": clean(self.description or "", 2000)}
        return [f"{name}: {text}" for name, text in {**texts, "runbook": self.runbook_url}.items() if text]

    def _missing(self, words: Words, length: int, zoned: bool) -> str:
        if self.undue:
            return (
                "nobody can tell when it is due: its last run has no due time by the schedule "
                f'"{cut(self.schedule or "", length)}" in zone "{cut(self.timezone or "", length)}"; jobmonctl bootstrap works '
                "it out, or says why it can't"
            )
        limit = self.error_after if self.missing_code == 3 else self.warn_after
        word = words[self.missing_code - 1].lower()
        against = "" if limit is None else f" ({cut(word, length)} {duration(limit, fraction=True)})"
        if self.late is not None:
            against = f", {self._due(self.late, zoned)}{against}"
            if self.alive_job_id is None:
                return f"missing{against}"
        if self.age is None:
            expected = (
                "" if self.expected_for is None else f", expected for {duration(max(self.expected_for, 0))}{against}"
            )
            return f"missing, no run has ever completed{expected}"
        ago = duration(max(self.age, 0))
        if self.alive_job_id is None:
            return f"missing, last run {ago} ago{against}"
        if self.unverified:
            return f"missing, or running for {ago}, which {self._teller} can't tell{against}"
        where = f": run {self.alive_job_id} {cut(self.alive_client, length)}" if self.alive_client else ""
        if self.missing_status == "BLOCKED":
            return f"blocked by {self._blocker(length)}, still running after {ago}{against}{where}"
        return f"still running after {ago}{against}{where or f': run {self.alive_job_id}, pid {self.alive_pid}'}"

    def _due(self, late: float, zoned: bool) -> str:
        """When the next run was due, for people; with the date only if the time of day doesn't say enough."""
        due = _shown(self.due, zoned)
        return f"was due {due[11:] if late < A_DAY else due}, {duration(max(late, 0))} ago"

    def _too_slow_or_fast(self, words: Words) -> str:
        took = duration(self.judged_duration or 0, fraction=True)
        limit = duration(self.duration_limit or 0, fraction=True)
        if self.duration_status == "FAST":
            return f"fast, took {took} (at least {limit})"
        against = f"{words[self.duration_code - 1].lower()} {limit}"
        if self.usual_duration is not None:
            against = f"usually {duration(self.usual_duration, fraction=True)}"
        return f"slow, {'running for' if self.slow_is_running else 'took'} {took} ({against})"

    def _running(self, length: int) -> str:
        """What the open run does, for how long it has."""
        running = f"running for {duration(max(self.alive_for or 0, 0))}"
        if self.unverified:
            return f"{running}, as far as {self._teller} can tell"
        return running if self.blocker_pid is None else f"{running}, blocked by {self._blocker(length)}"

    @property
    def _teller(self) -> str:
        if (self.alive_pid or 0) > 0:
            return "a standby or a role outside pg_monitor"
        return "another server or scheduler than the run's"

    def _blocker(self, length: int) -> str:
        lasting = "" if self.blocked_for is None else f" for {duration(self.blocked_for)}"
        if not self.blocker_pid:
            return f"a prepared transaction{lasting}"
        who = ", ".join(cut(text, length) for text in (self.blocker_user, self.blocker_application) if text)
        return f"pid {self.blocker_pid}" + (f" ({who})" if who else "") + lasting


def _shown(time: str | None, zoned: bool) -> str:
    """A time whose last word is its zone, with it or not."""
    return (time or "") if zoned else (time or "").rpartition(" ")[0]


class Step(NamedTuple):
    """One step of a run. `elapsed` is in seconds, None while the step is open."""

    action: str
    status: str | None
    elapsed: float | None
    message: str | None
