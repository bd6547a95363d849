"""jobmonctl cancel: cancel a run, having said whom it hits, and wait until it has really stopped."""

import argparse
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from check_jobmon.ctl.parser import add_command, add_yes_argument, agreed, job_id, seconds
from check_jobmon.text import clean, duration

if TYPE_CHECKING:
    from check_jobmon.ctl.run_queries import Run
    from check_jobmon.ctl.runner import JobLog

BACKEND = """
SELECT a.application_name, host(a.client_addr), a.state, left(a.query, 2000)
  FROM pg_stat_activity AS a
 WHERE a.pid = %s
   AND a.datname = current_database()
   AND coalesce(a.backend_start <= %s, true)
"""
AT_WORK = """
SELECT count(*) > 0
  FROM pg_stat_activity AS a
 WHERE a.pid = %s
   AND a.datname = current_database()
   AND coalesce(a.backend_start <= %s, true)
   AND a.state IN ('active', 'fastpath function call')
   AND a.query_start <= %s
"""
IDLE = ("idle", "idle in transaction", "idle in transaction (aborted)")
PAUSE = 0.1


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "cancel",
        run,
        "cancel a run under way",
        "Cancels the statement that a run's backend is at, and fails the run, with a note\n"
        "of who did so. Says first what it hits, and waits until it has stopped.\n"
        "It takes the role that runs the job, a member of it or of pg_signal_backend, or\n"
        "a superuser.",
        "  jobmonctl cancel -d etl 4711\n  jobmonctl cancel -d etl -y --wait 300 4711",
        "0 the run is over and its backend has stopped, 1 not done, or it has not\n"
        "  stopped in time (stderr says so in one line), 2 wrong arguments",
    )
    parser.add_argument("job_id", type=job_id, metavar="JOB_ID", help="run, as jobmonctl running lists it")
    add_yes_argument(parser)
    parser.add_argument(
        "--wait",
        type=seconds,
        default=30.0,
        metavar="SECONDS",
        help="how long to wait for the backend to stop (default: 30)",
    )


@dataclass(frozen=True)
class Backend:
    """The backend of a run. What the role may not see of it is None."""

    application: str | None
    address: str | None
    state: str | None
    query: str | None

    def __str__(self) -> str:
        parts = (self.application, f"from {self.address}" if self.address else None, self.state)
        return ", ".join(part for part in parts if part)


def run(arguments: argparse.Namespace) -> int:
    """Say, ask, cancel, wait, report."""
    from check_jobmon.ctl.run_queries import run_with_id, steps
    from check_jobmon.ctl.runner import NotDone, talk

    def work(log: "JobLog") -> int:
        one = run_with_id(log, arguments.job_id)
        backend = _cancellable(log, one)
        print("\n".join(_describe(log, one, backend)), flush=True)
        if not agreed("Cancel it?", arguments):
            return 1
        backend = _look(log, one) or backend
        called = log.rows("SELECT clock_timestamp()::text")[0][0]
        # which looks again whether it is still this run that the backend is at
        log.rows("SELECT @schema@.cancel_job(%s::bigint)", one.job_id, write=True)
        stopped = _stopped(log, one, called, arguments.wait)
        ended = run_with_id(log, one.job_id)
        last = steps(log, ended)[0][-1:]
        why = "".join(f"; {step.action}: {step.message or ''}" for step in last)
        print(clean(f"{ended.named} is over: {ended.word}, after {ended.took}{why}"))
        if not stopped:
            raise NotDone(
                f"pid {one.pid} is still at its statement after {duration(arguments.wait, fraction=True)}: wait longer with "
                f"--wait, or end its session: SELECT pg_terminate_backend({one.pid})"
            )
        now = _look(log, one)
        if backend.state in IDLE and now is not None:
            print(
                f"its session was idle, so there was no statement to cancel: pid {one.pid} is still there and may go on; "
                f"pg_terminate_backend({one.pid}) ends it"
            )
        elif now is not None and now.state is None:
            print(f"whether pid {one.pid} has stopped can't be seen: GRANT pg_monitor TO your role")
        else:
            print(f"pid {one.pid} has stopped")
        return 0

    return talk(arguments, work)


def _look(log: "JobLog", run: "Run") -> "Backend | None":
    rows = log.rows(BACKEND, run.pid, run.start_time)
    return Backend(*rows[0]) if rows else None


def _cancellable(log: "JobLog", run: "Run") -> Backend:
    """The run's backend. Raises NotDone where there is nothing to cancel."""
    from check_jobmon.ctl.run_queries import moment
    from check_jobmon.ctl.runner import NotDone

    if run.end_time:
        raise NotDone(f"{run.named} is already over: it ended at {moment(run.end_time)} as {run.word}")
    if run.pid < 0:
        raise NotDone(
            f"{run.named} is run by another server, by its pid {-run.pid}: cancel that there; if it is gone, end the run with "
            f"SELECT {log.schema}.fail_job({run.job_id})"
        )
    if run.state == "open":
        raise NotDone(f"{run.named} can't be cancelled from this standby: connect to the primary")
    backend = _look(log, run)
    if backend is None:
        raise NotDone(
            f"{run.named} has crashed: its backend, pid {run.pid}, is gone, so nothing is left to cancel; end the run "
            f"with SELECT {log.schema}.fail_job({run.job_id})"
        )
    return backend


def _describe(log: "JobLog", run: "Run", backend: Backend) -> list[str]:
    """Whom it hits."""
    from check_jobmon.ctl.run_queries import moment, steps

    lines = [
        f"{run.named}, started {moment(run.start_time)}, running for {run.took}",
        f"owner {run.owner}, pid {run.pid}" + (f" ({backend})" if str(backend) else ""),
    ]
    logged, earlier = steps(log, run)
    if logged:
        place = "the last step" if earlier else f"step {len(logged)}"
        lines.append(f"{place}: {logged[-1].action}, since {moment(logged[-1].start_time)}")
    if backend.query:
        lines.append(f"{'last statement' if backend.state in IDLE else 'statement'}: {clean(backend.query, 300)}")
    return [clean(line) for line in lines]


def _stopped(log: "JobLog", run: "Run", called: str, wait: float) -> bool:
    end = time.monotonic() + wait
    while log.rows(AT_WORK, run.pid, run.start_time, called)[0][0]:
        if time.monotonic() >= end:
            return False
        time.sleep(PAUSE)
    return True
