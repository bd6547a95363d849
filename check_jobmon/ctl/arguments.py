"""What the commands share: the parser, common options, converters, and how a command asks for confirmation and reports errors."""

import argparse
import sys
from typing import IO, NoReturn

from check_jobmon.config.connection_options import (
    add_connection_arguments,
    filled,
    mistake,
    option,
    seconds,
    whole_number,
)
from check_jobmon.config.durations import NotADuration, parse
from check_jobmon.connection import ExpectedError
from check_jobmon.sql_files import text_file
from check_jobmon.text import clean

count = whole_number(1, 2**31 - 1, "a number of rows", "1 or more")
waiting_time = seconds(lambda number: 0.1 <= number <= 86400, "0.1 to 86400")
job_id = whole_number(0, 2**63 - 1, "a JOB_ID", "the number that show and running list")


def age(text: str) -> float:
    """A converter for argparse: how long ago something may be, in seconds."""
    try:
        length = parse(text).length / 1e6
    except NotADuration as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None
    if not 0 < length < 100 * 366 * 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: give, for example, 60d")
    return length


class Parser(argparse.ArgumentParser):
    """argparse, but it reports a mistake in one line, and raises OSError if help can't be written."""

    def _print_message(self, message: str, file: "IO[str] | None" = None) -> None:  # type: ignore[override]
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        print(f"{self.prog}: {mistake(self, message)}", file=sys.stderr)
        sys.exit(2)


def add_help_texts(parser: argparse.ArgumentParser, command: str) -> None:
    """Set the texts of the command's --help, from its file in help/: a paragraph before the options, and the rest after them."""
    text = text_file(f"ctl/help/{command.replace(' ', '_')}.txt")
    parser.description, _, parser.epilog = text.partition("\n\n")


def add_session_arguments(parser: argparse.ArgumentParser, timeout: float = 30.0) -> None:
    """The connection options and --timeout, for a command that connects."""
    add_connection_arguments(parser)
    text = f"how long a query may take (default: {timeout:g})"
    option(parser, "--timeout SECONDS", text, waiting_time, default=timeout)


def add_list_arguments(parser: argparse.ArgumentParser, rows: int, what: str) -> None:
    """-n, --json and -w, for a command that prints a list."""
    option(parser, "-n N", f"how many {what} at most (default: {rows})", count, default=rows)
    option(parser, "--json", "print JSON")
    add_wide_argument(parser)


def add_wide_argument(parser: argparse._ActionsContainer) -> None:
    """-w, for a command that prints a table."""
    option(parser, "-w --wide", "print tables whole, even if the terminal is too narrow for them")


def add_yes_argument(parser: argparse.ArgumentParser) -> None:
    """-y, for a command that asks."""
    option(parser, "-y --yes", "don't ask for confirmation; required if there is no terminal")


def refuse_beside_targets(arguments: argparse.Namespace, *names: str) -> None:
    """Exit with status 2 if one of these options, which are for one database, is given with --targets."""
    for name in names:
        if arguments.targets and getattr(arguments, name):
            arguments.refuse(f"--{name} is for one database, and --targets for many: give one of them")


def job_id_or_name(text: str) -> int | str:
    """A number is a JOB_ID, all else a job's name."""
    return job_id(text) if text.isascii() and text.isdigit() else filled(text)


def print_error(arguments: argparse.Namespace, reason: str) -> None:
    """Print on stderr, in one line, why the command fails."""
    print(f"jobmonctl {arguments.command}: {clean(reason)}", file=sys.stderr)


def confirm(question: str, arguments: argparse.Namespace) -> None:
    """Raise ExpectedError unless -y was given, or the user at the terminal answers yes."""
    if arguments.yes:
        return
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        raise ExpectedError("not done: there is no terminal to ask at, so give -y")
    try:
        answer = input(f"{question} [y/N] ")
    except (EOFError, KeyboardInterrupt) as end:
        print()
        if isinstance(end, KeyboardInterrupt):
            raise
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise ExpectedError("not done")
