"""jobmonctl cancel: shows what a run is doing, asks, cancels it, and waits until its backend has really stopped."""

import argparse
import time
from dataclasses import dataclass

from check_jobmon.config.connection_options import option
from check_jobmon.ctl.arguments import add_session_arguments, add_yes_argument, confirm, job_id, waiting_time
from check_jobmon.ctl.connecting import CommandFailed, JobLog, in_job_log
from check_jobmon.ctl.run_queries import Run, run_with_id, steps
from check_jobmon.sql_files import sql_file
from check_jobmon.text import clean, duration, heading, without_zone

IDLE = ("idle", "idle in transaction", "idle in transaction (aborted)")
PAUSE = 0.1
MAY_CANCEL = "has_function_privilege(to_regprocedure('@schema@.cancel_job(bigint)'), 'EXECUTE') IS NOT FALSE"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    option(parser, "job_id JOB_ID", "job_id of the run, as 'jobmonctl running' lists it", job_id)
    add_session_arguments(parser)
    add_yes_argument(parser)
    text = "how long to wait for the backend to stop (default: 30)"
    option(parser, "--wait SECONDS", text, waiting_time, default=30.0)


@dataclass(frozen=True)
class Backend:
    """The backend of a run. Fields that the role may not see are None. `at_work`: whether the backend still executes a statement
    that began before the run was cancelled.
    """

    application: str | None
    address: str | None
    state: str | None
    query: str | None
    at_work: bool


@in_job_log
def run(log: JobLog, arguments: argparse.Namespace) -> None:
    """Show the run and its backend, ask for confirmation, cancel the run, wait for the backend, and print the result."""
    one = run_with_id(log, arguments.job_id)
    backend = _cancellable(log, one)
    print("\n".join(_describe(log, one, backend)), flush=True)
    confirm("Cancel it?", arguments)
    backend = _look(log, one) or backend
    called = log.rows("SELECT clock_timestamp()::text")[0][0]
    # cancel_job() verifies again that the backend is still this run's
    log.rows("SELECT @schema@.cancel_job(%s::bigint)", one.job_id, write=True)
    now = _wait(log, one, called, arguments.wait)
    ended = run_with_id(log, one.job_id)
    why = "".join(f"; {step.action}: {step.message or ''}" for step in steps(log, ended)[0][-1:])
    print(clean(f"{ended.label} is over: {ended.word}, after {ended.duration_text}{why}"))
    if one.client_pid and now is not None:
        raise CommandFailed(
            f"{one.place} has not ended after {duration(arguments.wait, fraction=True)}: wait longer with --wait, or end the "
            "process there"
        )
    if now is not None and now.at_work:
        raise CommandFailed(
            f"pid {one.pid} is still at its statement after {duration(arguments.wait, fraction=True)}: wait longer with "
            f"--wait, or end its session: SELECT pg_terminate_backend({one.pid})"
        )
    if backend.state in IDLE and now is not None:
        print(
            f"its session was idle, so there was no statement to cancel: pid {one.pid} is still there and may go on; "
            f"pg_terminate_backend({one.pid}) ends it"
        )
    elif now is not None and now.state is None:
        print(f"whether pid {one.pid} has stopped can't be seen: GRANT pg_monitor TO your role")
    else:
        print(f"{one.place} has {'ended' if one.client_pid else 'stopped'}")


def _look(log: JobLog, run: Run, called: str = "-infinity") -> Backend | None:
    rows = log.rows(sql_file("ctl/cancel.sql"), called, run.job_id)
    return Backend(*rows[0]) if rows else None


def _wait(log: JobLog, run: Run, called: str, wait: float) -> Backend | None:
    """Wait until the backend has stopped working or, if a client does the run's work, is gone. Returns what was last seen."""
    end = time.monotonic() + wait
    while (backend := _look(log, run, called)) and (backend.at_work or run.client_pid) and time.monotonic() < end:
        time.sleep(PAUSE)
    return backend


def _cancellable(log: JobLog, run: Run) -> Backend:
    """The run's backend. Raises CommandFailed where there is nothing to cancel."""
    if run.end_time:
        end = heading(without_zone(run.end_time), log.session.zone)
        raise CommandFailed(f"{run.label} is already over: it ended at {end} as {run.word}")
    if run.pid < 0:
        raise CommandFailed(
            f"{run.label} is run by another server or scheduler, by its pid {-run.pid}: cancel it there; if it is gone, end "
            f"the run with SELECT {log.schema}.fail_job({run.job_id})"
        )
    standby, may_cancel = log.rows(f"SELECT pg_is_in_recovery(), {MAY_CANCEL}")[0]
    if standby:
        raise CommandFailed(f"{run.label} can't be cancelled from this standby: connect to the primary")
    # cancel_job() wouldn't cancel a backend that the role can't see
    if not may_cancel or run.state == "open":
        raise log.refused(f"cancel {run.label}")
    backend = _look(log, run)
    if backend is None:
        raise CommandFailed(
            f"{run.label} has crashed: its backend, pid {run.pid}, is gone, so nothing is left to cancel; end the run "
            f"with SELECT {log.schema}.fail_job({run.job_id})"
        )
    return backend


def _describe(log: JobLog, run: Run, backend: Backend) -> list[str]:
    """The lines that show the run, its last step and its statement."""
    session = [backend.application, backend.address and f"from {backend.address}", backend.state]
    seen = ", ".join(part for part in session if part)
    start = heading(without_zone(run.start_time), log.session.zone)
    lines = [
        f"{run.label}, started {start}, running for {run.duration_text}",
        f"owner {run.owner}, {run.place}" + (f" ({seen})" if seen else ""),
    ]
    logged, earlier = steps(log, run)
    if logged:
        place = "the last step" if earlier else f"step {len(logged)}"
        lines.append(f"{place}: {logged[-1].action}, since {without_zone(logged[-1].start_time)}")
    if backend.query:
        lines.append(f"{'last statement' if backend.state in IDLE else 'statement'}: {clean(backend.query, 300)}")
    return [clean(line) for line in lines]
