"""--targets at the prompt: asks the job logs of many databases at once, as the plugin does (plugin/targets/)."""

import argparse
import contextlib
import fnmatch
import functools
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import psycopg

from check_jobmon.config.config_file import Host
from check_jobmon.config.connection_options import option, path
from check_jobmon.config.hosts import targets_of
from check_jobmon.connection.session import Asking, Pinned
from check_jobmon.ctl.arguments import refuse_beside_targets
from check_jobmon.ctl.connecting import CommandFailed, JobLog, connected, reason_of
from check_jobmon.ctl.table import NAME, Row, Table
from check_jobmon.ctl.waiting import waiting
from check_jobmon.judging.result import SERVER_SHARE, Result, failed, unanswered
from check_jobmon.judging.selection import UnknownJob
from check_jobmon.text import clean, counted, title

T = TypeVar("T")
LIKE_CHECK = {"connection_error": "unknown", "verbose": 0, "submit": None, "output": None}
"""Options of check_jobmon that its engine looks at."""


class Unanswered(str):
    """Why a host could not be asked, in one line."""


class _Unknown(Unanswered):
    """What a host says if it has no job of the name that was given."""


Answers: TypeAlias = list[tuple[str, T | Unanswered]]
"""What each host has answered, by its name in the file, in the file's order. The one host without --targets is called ""."""
Inquirer: TypeAlias = Callable[[JobLog, argparse.Namespace], Asking[T]]


def add_targets_argument(parser: argparse.ArgumentParser) -> None:
    """--targets, for a command whose queries are a coroutine."""
    text = "ask every entry under 'hosts:' in this configuration file, all at once; -H names some of them, by shell "
    text += "patterns separated by commas; --timeout is for all of them together"
    option(parser, "--targets FILE", text, path)


def over_job_logs(
    arguments: argparse.Namespace, asking: Inquirer[T], show: Callable[[Answers[T], argparse.Namespace], None]
) -> None:
    """Ask the job log, or those of --targets, and show what they answer. Raises ExpectedError, also if one could not be asked."""
    with inquiring(arguments, asking) as ask:
        answers = ask()
    show(answers, arguments)
    silent = sum(isinstance(found, Unanswered) for _, found in answers)
    if silent:
        print(end="", flush=True)  # where both streams are one, the answers come first
        raise CommandFailed(f"{silent} of {counted(len(answers), 'target')} could not be asked")


@contextlib.contextmanager
def inquiring(arguments: argparse.Namespace, asking: Inquirer[T]) -> Iterator[Callable[[], Answers[T]]]:
    """Gives a function that asks the one job log, always in the same session, or those of --targets, each time in new ones.

    Raises ExpectedError, as the function does.
    """
    if arguments.targets:
        yield lambda: _ask_all(arguments, asking)
        return
    with connected(arguments) as (session, schema):
        log = JobLog(session, schema, arguments.command)
        yield lambda: [("", session.ask(asking(log, arguments)))]


def _ask_all(arguments: argparse.Namespace, asking: Inquirer[T]) -> Answers[T]:
    """What the job logs of --targets answer. Raises ExpectedError if the file is wrong or no host knows the job.

    Hosts that don't know the job are left out if one knows it. The whole takes `arguments.timeout` seconds at most.
    """
    from check_jobmon.plugin.targets.processes import WAITING_SHARE, Send, sent_by

    started = time.monotonic()
    refuse_beside_targets(arguments, "service", "config", "conninfo")
    if not arguments.utc and "PGTZ" not in os.environ:
        arguments.local = True  # all times of a table are in one zone
    hosts = _hosts(arguments.targets, arguments.host)
    seconds = arguments.timeout - (time.monotonic() - started)

    async def inquiry(session: Pinned, schema: str, deadline: float) -> T | _Unknown:
        session.seconds = max(0.1, deadline - time.monotonic())
        try:
            log = await JobLog.opening(session, schema, arguments.command)
            return await asking(log, arguments)
        except UnknownJob as error:
            return _Unknown(error)
        except psycopg.Error as error:
            raise CommandFailed(reason_of(error, schema, arguments)) from None

    def work(send: Send) -> None:
        for number in (signal.SIGTSTP, signal.SIGWINCH):
            signal.signal(number, signal.SIG_DFL)  # the terminal is the parent's
        from check_jobmon.plugin.targets.check_all import Checks

        options = argparse.Namespace(**{**vars(arguments), **LIKE_CHECK})
        deadline, give_up = (time.monotonic() + seconds * part for part in (SERVER_SHARE, WAITING_SHARE))
        Checks(options, hosts, deadline, give_up, lambda number, found, _: send(number, found), inquiry).run()

    def late(stage: str) -> Result:
        return failed(0, unanswered(arguments.timeout, stage, f"targets of {clean(arguments.targets, 100)}"))

    heard: list[int | str] = []
    with waiting(lambda: f"{len(heard)} of {counted(len(hosts), 'target')} have answered"):
        found, missing, _ = _uninterrupted(lambda: sent_by(work, seconds, late, 0, heard.append))
    answers: list[tuple[str, Any]] = [(host.name, found.get(number, missing)) for number, host in enumerate(hosts)]
    answers = [(host, Unanswered(it.summary) if isinstance(it, Result) else it) for host, it in answers]
    known = [(host, it) for host, it in answers if not isinstance(it, _Unknown)]
    if not known:
        raise CommandFailed(f"{title(answers[0][0])}: {answers[0][1]}")
    return known if answered(known) else answers


def _uninterrupted(work: Callable[[], T]) -> T:
    """Call `work`, and reset the signal handlers that it sets. SIGINT raises KeyboardInterrupt; other signals end the process."""
    from check_jobmon.plugin.deadline import STOPPING, Terminated

    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        return work()
    except Terminated as stopped:
        ending = stopped.number
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if ending != signal.SIGINT:
        os.kill(os.getpid(), ending)
    raise KeyboardInterrupt


@functools.cache  # standard input can be read once, and --watch asks again and again
def _hosts(file: str, patterns: str | None) -> Sequence[Host]:
    """The hosts of a file whose names match one of the patterns; all, if there are none. Raises ExpectedError."""
    hosts = targets_of(file)
    wanted = [pattern.strip() for pattern in (patterns or "*").split(",")]
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(host.name, pattern) for host in hosts):
            names = clean(", ".join(host.name for host in hosts), 200)
            raise CommandFailed(f'{clean(file, 200)} has no target "{clean(pattern, 100)}": it has {names}')
    return [
        replace(host, parameters={"application_name": "jobmonctl", **host.parameters})
        for host in hosts
        if any(fnmatch.fnmatchcase(host.name, pattern) for pattern in wanted)
    ]


def answered(answers: Answers[T]) -> list[tuple[str, T]]:
    """The answers of those that could be asked."""
    return [(host, found) for host, found in answers if not isinstance(found, Unanswered)]


def hosted(table: Table, hosts: Sequence[str], answers: Answers[T]) -> Table:
    """The table with the host of each row, and before these a row for each host that could not be asked."""
    if [host for host, _ in answers] == [""]:
        return table
    silent = [(host, found) for host, found in answers if isinstance(found, Unanswered)]
    state = next(n for n, column in enumerate(table.columns) if column in ("STATE", "STATUS"))
    dashes = ["-"] * (len(table.columns) - 1)
    rows = [Row((host, *dashes[:state], "UNKNOWN", *dashes[state + 1 :], reason), 3) for host, reason in silent]
    rows += [Row((host, *row.cells), row.alert_code) for host, row in zip(hosts, table.rows, strict=True)]
    cut = {"HOST": NAME, **table.cut}
    return replace(table, columns=("HOST", *table.columns), ranks=(0, *table.ranks), rows=rows, cut=cut)


def host_objects(objects: Iterable[tuple[str, dict[str, Any]]], answers: Answers[T]) -> list[dict[str, Any]]:
    """Objects for JSON, each with its host; before these one for each host that could not be asked, with the reason."""
    if [host for host, _ in answers] == [""]:
        return [found for _, found in objects]
    silent = [{"host": host, "error": found} for host, found in answers if isinstance(found, Unanswered)]
    return [*silent, *({"host": host, **found} for host, found in objects)]
