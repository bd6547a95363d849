"""--targets from the command line to its exit status: one process checks, another submits, this one tells.

Each may hang or die without taking away what is known by then: what it found is in a file that this process reads.
"""

import argparse
import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

from check_jobmon.config.hosts import ConfigFileError, hosts_of
from check_jobmon.judging.result import (
    CONFIGURING,
    SERVER_SHARE,
    STATES,
    UNKNOWN,
    Result,
    failed,
    unanswered,
    unexpected,
)
from check_jobmon.plugin.deadline import Answer, DeadlineExceeded, Died, Terminated, within
from check_jobmon.plugin.output import bounded
from check_jobmon.plugin.targets import report as printing
from check_jobmon.plugin.targets.options import SERVICE
from check_jobmon.plugin.targets.passive import CRITICAL, Passive, SubmissionImpossible, passive_results
from check_jobmon.plugin.targets.records import Record, parsed, read, record, write, write_record
from check_jobmon.text import clean

CHECKING_SHARE = 0.7
"""The part of the time that the checks may take if their results are to be submitted."""
WAITING_SHARE = 0.95
"""The part of that for which they are waited for, so that they can say who has not answered."""
LOADING = "loading libraries"

Report = Callable[[str], None]


class _Nothing(Exception):
    """There is nothing to tell but this result."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.summary)
        self.result = result


def run_targets(arguments: argparse.Namespace) -> tuple[int, str]:
    """The exit status and the output."""
    started = time.monotonic()
    service = arguments.service_name or SERVICE
    try:
        records, said = _checked(arguments, started)
        if arguments.submit:
            passives = list(passive_results(records, service, arguments.per_job))
            state, text = _submitted(arguments, records, passives, started)
        elif arguments.output == "json":
            state = printing.worst(records)
            return state, printing.as_json(state, printing.counted(records), records, service, arguments.per_job)
        else:
            state, text = printing.as_text(records, arguments, time.monotonic() - started)
    except Terminated as signal:
        reason = f"stopped by {signal} before there was an answer: see who sends it, and -t"
        return UNKNOWN, _without_results(failed(UNKNOWN, reason), arguments)
    except _Nothing as nothing:
        return nothing.result.state, _without_results(nothing.result, arguments)
    if said and arguments.verbose:
        text += f"the libraries said: {said}\n"
    return state, bounded(text, arguments.max_output)


def _without_results(result: Result, arguments: argparse.Namespace) -> str:
    if arguments.output == "json":
        return printing.as_json(result.state, result.summary, (), "", False)
    return bounded("\n".join((result.first_line, *result.long_output)), arguments.max_output)


def _checked(arguments: argparse.Namespace, started: float) -> tuple[list[Record], str]:
    """One result for each target, whatever happens to the checks; and what libraries wrote to standard error."""
    began = time.time()
    share = arguments.timeout * (CHECKING_SHARE if arguments.submit else 1)
    seconds = share - (time.monotonic() - started)
    with _file() as file:
        try:
            answer = within(seconds, _guarded(arguments, lambda report: _check(arguments, seconds, file, report)))
            first, *rest = answer.text.split("\n")
            lacking = failed(UNKNOWN, first or "the check ended without a result: please report it")
            lacking = lacking._replace(long_output=rest)
        except DeadlineExceeded as deadline:
            answer = Answer("", "")
            reason = unanswered(share, deadline.stage, f"targets of {clean(arguments.targets, 100)}")
            lacking = failed(STATES.index(arguments.connection_error), reason)
        except Died as death:
            answer = Answer("", "")
            lacking = failed(UNKNOWN, str(death))
        names: list[str] = []
        found: dict[int, Record] = {}
        for line in read(file):
            if "targets" in line:
                names = line["targets"]
            else:
                found[line["number"]] = parsed(line)
    if not names:
        raise _Nothing(lacking)
    for number, name in enumerate(names):
        if number not in found:
            found[number] = record(name, lacking, began, time.time())
    return [found[number] for number in range(len(names))], clean(answer.stderr, 500)


def _guarded(arguments: argparse.Namespace, work: Callable[[Report], str]) -> Callable[[Report], str]:
    """As `work`, but an exception that should not come is its text: the reason, and with -vvv the traceback's lines."""

    def guarded(report: Report) -> str:
        try:
            return work(report)
        except MemoryError:
            raise
        except Exception as error:
            result = unexpected(error, arguments.verbose)
            return "\n".join((result.summary, *result.long_output))

    return guarded


def _check(arguments: argparse.Namespace, seconds: float, file: int, report: Report) -> str:
    """The checks, in a process of their own. Gives why there is nothing to check, if so."""
    started = time.monotonic()
    report(CONFIGURING)
    try:
        hosts = hosts_of(arguments.targets)
    except ConfigFileError as error:
        return str(error)
    if not hosts:
        return f'{clean(arguments.targets, 200)} has no targets: name them under "hosts:"'
    write(file, {"targets": [host.name for host in hosts]})
    report(LOADING)
    from check_jobmon.plugin.targets.check_all import Checks

    def tell(number: int, result: Result, began: float) -> None:
        write_record(file, number, record(hosts[number].name, result, began, time.time()))

    report("checking")
    deadline, give_up = (started + seconds * share for share in (SERVER_SHARE, WAITING_SHARE))
    Checks(arguments, hosts, deadline, give_up, tell).run()
    return ""


def _submitted(
    arguments: argparse.Namespace, records: Sequence[Record], passives: Sequence[Passive], started: float
) -> tuple[int, str]:
    """Whether all results were taken, and which were not."""
    seconds = max(0.1, arguments.timeout - (time.monotonic() - started))
    with _file() as file:
        state, lacking = UNKNOWN, "not submitted: please report it"
        try:
            answer = within(
                seconds, _guarded(arguments, lambda report: _submit(arguments, passives, seconds, file, report))
            )
            if answer.text:
                lacking = answer.text.partition("\n")[0]
                if lacking[0].isdigit():
                    state, lacking = int(lacking[0]), lacking[1:]
        except DeadlineExceeded:
            state = CRITICAL
            lacking = (
                f"not taken within {arguments.timeout:g}s: see that the monitoring server is up, or give more with -t"
            )
        except Died as death:
            lacking = str(death)
        told = {line["number"]: line["reason"] for line in read(file)}
    if not told:
        raise _Nothing(failed(state, lacking))
    refused = [(passive, told.get(n, lacking)) for n, passive in enumerate(passives) if told.get(n, lacking)]
    return printing.submission(records, len(passives), refused, arguments, time.monotonic() - started)


def _submit(
    arguments: argparse.Namespace, passives: Sequence[Passive], seconds: float, file: int, report: Report
) -> str:
    """The submission, in a process of its own. Gives a state and why nothing could be submitted, if so."""
    deadline = time.monotonic() + seconds * WAITING_SHARE

    def told(number: int, reason: str) -> None:
        write(file, {"number": number, "reason": reason})

    report(LOADING)
    kind, _, place = arguments.submit.partition(":")
    try:
        if kind == "nagios":
            from check_jobmon.plugin.targets.nagios import submit as submit_to_nagios

            submit_to_nagios(place, passives, arguments.max_output, deadline, told)
        else:
            from check_jobmon.plugin.targets.icinga import submit as submit_to_icinga

            submit_to_icinga(place, passives, arguments, deadline, told)
    except SubmissionImpossible as error:
        return f"{error.state}{error}"
    return ""


@contextlib.contextmanager
def _file() -> Iterator[int]:
    """A file without a name, which a child process writes and this one reads."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("check_jobmon")  # no disk that could be full
        # several threads write: without this, one line can take another's place
        fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
        try:
            yield file
        finally:
            os.close(file)
    else:
        with tempfile.TemporaryFile() as temporary:
            yield temporary.fileno()
