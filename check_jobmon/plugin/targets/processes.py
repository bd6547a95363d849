"""--targets, from the command line to the exit status: one child process checks, another submits, this process reports.

A child process may hang or be killed, so it writes each result to a file as soon as it has it. This process reads the file
in the end.
"""

import argparse
import contextlib
import fcntl
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from check_jobmon.config import ConfigFileError
from check_jobmon.config.hosts import hosts_of
from check_jobmon.judging.result import CONFIGURING, SERVER_SHARE, STATES, Result, failed, unanswered, unexpected
from check_jobmon.plugin.deadline import DeadlineExceeded, Died, Terminated, within, write_all
from check_jobmon.plugin.options import SERVICE
from check_jobmon.plugin.output import bounded
from check_jobmon.plugin.targets import report
from check_jobmon.plugin.targets.passive_results import (
    CRITICAL,
    UNKNOWN,
    PassiveResult,
    SubmissionImpossible,
    TargetResult,
    passive_results,
)
from check_jobmon.text import clean

CHECKING_SHARE = 0.7
"""The part of the time that the checks may take if their results are to be submitted."""
WAITING_SHARE = 0.95
"""The part of that after which the child process no longer waits, so that it can name the targets that didn't answer."""
LOADING = "loading libraries"
TARGETS = "targets"
MISSING = "missing"
"""Keys in the file, beside the numbers of results: the names of the targets, and why results are missing."""

Write = Callable[[int | str, object], None]
"""Writes an object into the file, under a key."""
Work = Callable[[Callable[[str], None], Write], None]
"""The work of a child process, which gets a function to report its stage, and Write."""


class _NoResults(Exception):
    """There is nothing to report but this result."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.summary)
        self.result = result


def run_targets(arguments: argparse.Namespace) -> tuple[int, str]:
    """The exit status and the output."""
    started = time.monotonic()
    service = arguments.service_name or SERVICE
    try:
        results, stderr = _check(arguments, started)
        if arguments.submit:
            passives = list(passive_results(results, service, arguments.per_job))
            state, text = _submit(arguments, results, passives, started)
        elif arguments.output == "json":
            state = report.worst_state(results)
            return state, report.as_json(state, report.state_counts(results), results, service, arguments.per_job)
        else:
            state, text = report.as_text(results, arguments, time.monotonic() - started)
    except Terminated as signal:
        return _without_results(failed(UNKNOWN, str(signal)), arguments)
    except _NoResults as nothing:
        return _without_results(nothing.result, arguments)
    if stderr and arguments.verbose:
        text += f"the libraries said: {stderr}\n"
    return state, bounded(text, arguments.max_output)


def _without_results(result: Result, arguments: argparse.Namespace) -> tuple[int, str]:
    if arguments.output == "json":
        return result.state, report.as_json(result.state, result.summary, (), "", False)
    return result.state, bounded("\n".join((result.first_line, *result.long_output)), arguments.max_output)


def _check(arguments: argparse.Namespace, started: float) -> tuple[list[TargetResult], str]:
    """One result for each target, whatever happens to the checks; and what libraries wrote to standard error."""
    began = time.time()
    share = arguments.timeout * (CHECKING_SHARE if arguments.submit else 1)
    seconds = share - (time.monotonic() - started)

    def work(stage: Callable[[str], None], write: Write) -> None:
        started = time.monotonic()
        stage(CONFIGURING)
        try:
            hosts = hosts_of(arguments.targets)
        except ConfigFileError as error:
            raise _NoResults(failed(UNKNOWN, str(error))) from None
        if not hosts:
            reason = f'{clean(arguments.targets, 200)} has no targets: name them under "hosts:"'
            raise _NoResults(failed(UNKNOWN, reason))
        write(TARGETS, [host.name for host in hosts])
        stage(LOADING)
        from check_jobmon.plugin.targets.check_all import Checks

        def on_result(number: int, result: Result, began: float) -> None:
            write(number, TargetResult(hosts[number].name, result, began, time.time()))

        stage("checking")
        deadline, give_up = (started + seconds * part for part in (SERVER_SHARE, WAITING_SHARE))
        Checks(arguments, hosts, deadline, give_up, on_result).run()

    def late(stage: str) -> Result:
        reason = unanswered(share, stage, f"targets of {clean(arguments.targets, 100)}")
        return failed(STATES.index(arguments.connection_error), reason)

    found, missing, stderr = _written_by(work, seconds, late, arguments.verbose)
    if TARGETS not in found:
        raise _NoResults(missing)
    names = enumerate(found[TARGETS])
    return [found.get(n) or TargetResult(name, missing, began, time.time()) for n, name in names], stderr


def _submit(
    arguments: argparse.Namespace, results: Sequence[TargetResult], passives: Sequence[PassiveResult], started: float
) -> tuple[int, str]:
    """The state and text that say whether all passive results were taken, and which were not."""
    seconds = max(0.1, arguments.timeout - (time.monotonic() - started))

    def work(stage: Callable[[str], None], write: Write) -> None:
        deadline = time.monotonic() + seconds * WAITING_SHARE
        stage(LOADING)
        kind, _, place = arguments.submit.partition(":")
        try:
            if kind == "nagios":
                from check_jobmon.plugin.targets import nagios

                nagios.submit(place, passives, arguments.max_output, deadline, write)
            else:
                from check_jobmon.plugin.targets import icinga

                icinga.submit(place, passives, arguments, deadline, write)
        except SubmissionImpossible as error:
            raise _NoResults(failed(error.state, str(error))) from None

    def late(stage: str) -> Result:
        hint = "see that the monitoring server is up, or give more with -t"
        return failed(CRITICAL, f"not taken within {arguments.timeout:g}s: {hint}")

    found, missing, _ = _written_by(work, seconds, late, arguments.verbose)
    if not found:
        raise _NoResults(missing)
    reasons = [found.get(number, missing.summary) for number in range(len(passives))]
    refused = [(passive, reason) for passive, reason in zip(passives, reasons, strict=True) if reason]
    return report.submission(results, len(passives), refused, arguments, time.monotonic() - started)


def _written_by(
    work: Work, seconds: float, late: Callable[[str], Result], verbose: int
) -> tuple[dict[int | str, Any], Result, str]:
    """Run `work` in a child process. Returns what it wrote, why the rest is missing, and its standard error.

    `late` gives the reason if the time is over, from the stage that the work was in.
    """
    with _memory_file() as file:

        def write(key: int | str, found: object) -> None:
            write_all(file, pickle.dumps((key, found)))

        def guarded(stage: Callable[[str], None]) -> str:
            try:
                work(stage, write)
            except MemoryError:
                raise
            except _NoResults as nothing:
                write(MISSING, nothing.result)
            except Exception as error:
                write(MISSING, unexpected(error, verbose))
            return ""

        stderr, missing = "", failed(UNKNOWN, "a child process ended without a result: please report it")
        try:
            stderr = clean(within(seconds, guarded).stderr, 500)
        except DeadlineExceeded as deadline:
            missing = late(deadline.stage)
        except Died as death:
            missing = failed(UNKNOWN, str(death))
        found = dict(_read(file))
    missing = found.pop(MISSING, missing)
    return found, missing, stderr


def _read(file: int) -> Iterator[tuple[int | str, Any]]:
    """What was written. An incomplete last object (its writer was killed) is ignored."""
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as written, contextlib.suppress(EOFError, pickle.UnpicklingError):
        while True:
            yield pickle.load(written)


@contextlib.contextmanager
def _memory_file() -> Iterator[int]:
    """A file without a name, which a child process writes and this one reads."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("check_jobmon")  # no disk that could be full
        # several threads write: without this, one could overwrite what another has written
        fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
        try:
            yield file
        finally:
            os.close(file)
    else:
        with tempfile.TemporaryFile() as temporary:
            yield temporary.fileno()
