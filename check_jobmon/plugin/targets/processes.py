"""--targets, from the command line to the exit status: one child process checks, another submits, this process reports.

A child process may hang or be killed, so it sends each result as soon as it has it, and this process uses what has arrived.
"""

import argparse
import contextlib
import functools
import pickle
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from check_jobmon.config import ConfigFileError
from check_jobmon.config.config_file import Host
from check_jobmon.config.connection_options import SERVICE
from check_jobmon.config.hosts import place, targets_of
from check_jobmon.judging.result import (
    CONFIGURING,
    CRITICAL,
    SERVER_SHARE,
    STATES,
    UNKNOWN,
    Result,
    failed,
    unanswered,
    unexpected,
)
from check_jobmon.plugin.deadline import Terminated, Write, within
from check_jobmon.plugin.output import barless, bounded, compose
from check_jobmon.plugin.targets import report
from check_jobmon.plugin.targets.passive_results import PassiveResult, SubmissionImpossible, with_jobs
from check_jobmon.text import clean

CHECKING_SHARE = 0.7
"""The part of the time that the checks may take if their results are to be submitted."""
WAITING_SHARE = 0.95
"""The part of that after which the child process no longer waits, so that it can name the targets that didn't answer."""
STAGE = "stage"
TARGETS = "targets"
MISSING = "missing"
"""Keys of what a child sends, beside the numbers of results: its stage, the targets' names, and why results are missing."""

Send = Callable[[int | str, object], None]
"""Sends an object from a child process, under a key."""


def run_targets(arguments: argparse.Namespace) -> tuple[int, str]:
    """The exit status and the output."""
    started = time.monotonic()
    targets: list[PassiveResult] = []
    stderr = ""
    try:
        targets, missing, stderr = _check(arguments, started)
        if not targets:
            whole = missing
        elif arguments.submit:
            whole = _submit(arguments, targets, started)
        else:
            whole = report.summary(targets, arguments, time.monotonic() - started)
    except Terminated as signal:
        whole = failed(UNKNOWN, str(signal))
    if arguments.output == "json":
        return whole.state, report.as_json(whole, targets, _services(targets, arguments))
    text = compose(whole, arguments.max_output, "targets")
    if arguments.output == "openmetrics" and targets:
        from check_jobmon.plugin.openmetrics import publish

        return publish(targets, arguments, text)
    if stderr and arguments.verbose:
        text = bounded(f"{text}the libraries said: {stderr}\n", arguments.max_output)
    # without metrics there is no success, whatever --connection-error says
    return UNKNOWN if arguments.output == "openmetrics" else whole.state, text


def _services(targets: list[PassiveResult], arguments: argparse.Namespace) -> Iterable[PassiveResult]:
    return with_jobs(targets) if arguments.per_job else targets


def _check(arguments: argparse.Namespace, started: float) -> tuple[list[PassiveResult], Result, str]:
    """One result for each target, whatever happens to the checks (none if their file can't be read); the one to report for what
    is missing; and what libraries wrote to standard error."""
    began = time.time()
    service = arguments.service_name or SERVICE
    share = arguments.timeout * (CHECKING_SHARE if arguments.submit else 1)
    seconds = share - (time.monotonic() - started)

    def work(send: Send) -> None:
        started = time.monotonic()
        send(STAGE, CONFIGURING)
        hosts = targets_of(arguments.targets) if arguments.targets else (Host(place(arguments), {}),)
        send(TARGETS, [host.name for host in hosts])
        send(STAGE, "loading libraries")
        from check_jobmon.plugin.check_one import judging
        from check_jobmon.plugin.targets.check_all import Checks

        # without --submit or JSON, nobody would see the figures of each job
        perfdata = arguments.perfdata if arguments.submit or arguments.output == "json" else "none"
        judged = functools.partial(judging, argparse.Namespace(**{**vars(arguments), "perfdata": perfdata}))

        def on_result(number: int, result: Result, began: float) -> None:
            send(number, PassiveResult(hosts[number].name, service, result, began, time.time()))

        send(STAGE, "checking")
        deadline, give_up = (started + seconds * part for part in (SERVER_SHARE, WAITING_SHARE))
        Checks(arguments, hosts, deadline, give_up, on_result, judged).run()

    def late(stage: str) -> Result:
        where = f"targets of {clean(arguments.targets, 100)}" if arguments.targets else clean(place(arguments), 100)
        reason = unanswered(share, stage, where)
        return failed(STATES.index(arguments.connection_error), reason)

    found, missing, stderr = sent_by(work, seconds, late, arguments.verbose)
    names = enumerate(found.get(TARGETS, []))
    results = [found.get(n) or PassiveResult(name, service, missing, began, time.time()) for n, name in names]
    return results, missing, stderr


def _submit(arguments: argparse.Namespace, targets: list[PassiveResult], started: float) -> Result:
    """The result that says whether all passive results were taken, and which were not."""
    services = list(_services(targets, arguments))
    seconds = max(0.1, arguments.timeout - (time.monotonic() - started))

    def work(send: Send) -> None:
        deadline = time.monotonic() + seconds * WAITING_SHARE
        kind, _, where = arguments.submit.partition(":")
        if kind == "nagios":
            from check_jobmon.plugin.targets.nagios import submit
        else:
            from check_jobmon.plugin.targets.icinga import submit
        submit(where, services, arguments, deadline, send)

    def late(stage: str) -> Result:
        hint = "see that the monitoring server is up, or give more with -t"
        return failed(CRITICAL, f"not taken within {arguments.timeout:g}s: {hint}")

    found, missing, _ = sent_by(work, seconds, late, arguments.verbose)
    if not found:
        return missing
    reasons = [found.get(number, missing.summary) for number in range(len(services))]
    refused = [(service, reason) for service, reason in zip(services, reasons, strict=True) if reason]
    return report.submission(targets, len(services), refused, arguments, time.monotonic() - started)


def sent_by(
    work: Callable[[Send], None],
    seconds: float,
    late: Callable[[str], Result],
    verbose: int,
    on_received: Callable[[int | str], None] = lambda _: None,
) -> tuple[dict[int | str, Any], Result, str]:
    """Run `work` in a child process. Returns what it sent, why the rest is missing, and its standard error.

    `late` gives the reason if the time is over, from the stage that the work was in. `on_received` is called with each key.
    """
    one_at_a_time = threading.Lock()

    def child(write: Write) -> None:
        def send(key: int | str, found: object) -> None:
            with one_at_a_time:
                write(pickle.dumps((key, found)))

        try:
            work(send)
        except MemoryError:
            raise
        except (ConfigFileError, SubmissionImpossible) as error:
            send(MISSING, failed(getattr(error, "state", UNKNOWN), str(error)))
        except Exception as error:
            send(MISSING, unexpected(error, verbose))

    outcome = within(seconds, child, lambda pipe: dict(_received(pipe, on_received)))
    found = outcome.answer
    stage = found.pop(STAGE, "")
    died = failed(UNKNOWN, outcome.death or "a child process ended without a result: please report it")
    missing = found.pop(MISSING, late(stage) if outcome.late else died)
    return found, missing, barless(clean(outcome.stderr, 500))


def _received(pipe: BinaryIO, on_received: Callable[[int | str], None]) -> Iterator[tuple[int | str, Any]]:
    """What a child sends. An incomplete last object (the child was killed) is ignored."""
    with contextlib.suppress(EOFError, pickle.UnpicklingError):
        while True:
            key, found = pickle.load(pipe)
            on_received(key)
            yield key, found
