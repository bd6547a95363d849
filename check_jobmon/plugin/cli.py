"""The plugin's command line, from the arguments to the output and the exit status. No other module of the plugin prints."""
# PYTHON_ARGCOMPLETE_OK

import argparse
import re
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from check_jobmon.config.connection_options import add_connection_arguments, complete, help_formatter, mistake
from check_jobmon.judging.result import SERVER_SHARE, STATES, UNKNOWN, failed, unanswered, unexpected
from check_jobmon.plugin.deadline import OUT_OF_MEMORY, Terminated, Write, within, write_all
from check_jobmon.plugin.lazy_imports import lazy_imports
from check_jobmon.plugin.options import add_options, refuse_contradictions
from check_jobmon.plugin.output import barless, bounded, compose
from check_jobmon.sql_files import text_file
from check_jobmon.text import clean


class _Parser(argparse.ArgumentParser):
    """As plugins do it: all output goes to standard output, the exit status is always 3, an error is one line."""

    def error(self, message: str) -> NoReturn:
        if re.search(r"unrecognized arguments:.* -[wc]\b", message):
            message += "; thresholds come from the table job_check_config"
        _print(f"JOBMON UNKNOWN - {barless(mistake(self, message))}\n")
        sys.exit(UNKNOWN)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        sys.exit(UNKNOWN)

    def _print_message(self, message: str, file: object = None) -> None:
        _print(message)


def _print(text: str) -> None:
    """Write to standard output, without a buffer that could fail again when Python ends. Raises OSError."""
    write_all(1, text.encode("utf-8", "replace"))


def command_line() -> argparse.ArgumentParser:
    """The parser."""
    parser = _Parser(prog="check_jobmon", formatter_class=help_formatter, allow_abbrev=False)
    parser.description, _, parser.epilog = text_file("plugin/help.txt").partition("\n\n")
    add_connection_arguments(parser)
    add_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the plugin. Returns the exit status."""
    try:
        parser = command_line()
        complete(parser)
        arguments = parser.parse_args(argv)
        refuse_contradictions(parser, arguments)
        if arguments.targets or arguments.output in ("json", "openmetrics"):
            from check_jobmon.plugin.targets.processes import run_targets

            status, text = run_targets(arguments)
        else:
            status, text = _run(arguments)
    except OSError as error:
        status, text = UNKNOWN, f"{unexpected(error).first_line}\n"
    try:
        _print(text)
    except OSError:
        return UNKNOWN  # nowhere to print to: no output can be trusted
    return status


def _run(arguments: argparse.Namespace) -> tuple[int, str]:
    """The exit status and the output."""
    unreachable = STATES.index(arguments.connection_error)
    try:
        outcome = within(
            arguments.timeout, lambda write: _check(arguments, write), lambda pipe: pipe.read().partition(b"\0")
        )
    except Terminated as signal:
        return _without_answer(UNKNOWN, str(signal), arguments)
    stages, _, answer = outcome.answer
    if outcome.late:
        places = {"host": arguments.host, "database": arguments.dbname, "service": arguments.service}
        where = ", ".join(f"{name} {clean(place, 100)}" for name, place in places.items() if place)
        stage = stages.decode().rpartition("\n")[2]
        return _without_answer(unreachable, unanswered(arguments.timeout, stage, where), arguments)
    if outcome.death:
        return _without_answer(unreachable if outcome.death == OUT_OF_MEMORY else UNKNOWN, outcome.death, arguments)
    status, text = int(answer[:1]), answer[1:].decode("utf-8", "surrogatepass")
    said = barless(clean(outcome.stderr, 500))
    if said and (status == UNKNOWN or text.count("\n") == 1 or arguments.verbose):
        text = bounded(f"{text}the libraries said: {said}\n", arguments.max_output)
    return status, text


def _without_answer(status: int, reason: str, arguments: argparse.Namespace) -> tuple[int, str]:
    return status, compose(failed(status, reason), arguments.max_output)


def _check(arguments: argparse.Namespace, write: Write) -> None:
    """The whole check, in the child process. Writes a line for each stage, then NUL, the exit status, and the output."""
    started = time.monotonic()

    def report(stage: str) -> None:
        write(f"\n{stage}".encode())

    report("loading libraries")
    try:
        with lazy_imports():
            from check_jobmon.plugin.check_one import check
        result = check(arguments, started + arguments.timeout * SERVER_SHARE, report)
    except MemoryError:
        raise  # the child process ends, with a status that says so
    except Exception as error:
        result = unexpected(error, arguments.verbose)
    write(f"\0{result.state}{compose(result, arguments.max_output)}".encode("utf-8", "surrogatepass"))
