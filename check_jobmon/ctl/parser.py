"""What the commands' command lines share: how one is declared, how a mistake in it is told, how a person is asked."""

import argparse
import sys
from collections.abc import Callable
from typing import IO, NoReturn

from check_jobmon.config.connection_options import add_connection_arguments, filled, mistake
from check_jobmon.config.connection_options import seconds as seconds_that_fit

MOST_ROWS = 2**31 - 1
LAST_JOB_ID = 2**63 - 1
STATUS = "0 done, 1 not done (stderr says why in one line), 2 wrong arguments"


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is told in one line, and help that can't be written is an OSError."""

    def _print_message(self, message: str, file: "IO[str] | None" = None) -> None:  # type: ignore[override]
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        print(f"{self.prog}: {mistake(self, message)}", file=sys.stderr)
        sys.exit(2)


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str,
    examples: str,
    status: str = STATUS,
) -> argparse.ArgumentParser:
    """Declare a command that connects. `description` and `examples` are printed as they are: at most 80 columns."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"exit status:\n  {status}\n\nexamples:\n{examples}",
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=27, width=80),
    )
    parser.set_defaults(run=run, command=name)
    add_connection_arguments(parser)
    add_timeout_argument(parser)
    return parser


def add_timeout_argument(parser: argparse.ArgumentParser, default: float = 30.0) -> None:
    """--timeout, for a command that connects."""
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=default,
        metavar="SECONDS",
        help=f"how long the server may take for a query (default: {default:g})",
    )


def add_list_arguments(parser: argparse.ArgumentParser, rows: int, what: str) -> None:
    """-n and --json, for a command that prints a list."""
    parser.add_argument("-n", type=count, default=rows, metavar="N", help=f"how many {what} at most (default: {rows})")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_yes_argument(parser: argparse.ArgumentParser) -> None:
    """-y, for a command that asks."""
    parser.add_argument("-y", "--yes", action="store_true", help="don't ask; needed where there is no terminal")


def count(text: str) -> int:
    """A number of rows."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_ROWS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows: give 1 or more")
    return int(text)


def job_id(text: str) -> int:
    """A job_id."""
    if not text.isascii() or not text.isdigit() or not 0 <= int(text) <= LAST_JOB_ID:
        raise argparse.ArgumentTypeError(f"{text!r} is not a JOB_ID: give the number that show and running list")
    return int(text)


def job_id_or_name(text: str) -> int | str:
    """A number is a JOB_ID, all else a job's name."""
    return job_id(text) if text.isascii() and text.isdigit() else filled(text)


def seconds(text: str) -> float:
    """A time to wait."""
    return seconds_that_fit(text, lambda number: 0.1 <= number <= 86400, "0.1 to 86400")


def agreed(question: str, arguments: argparse.Namespace) -> bool:
    """Whether -y was given, or the person at the terminal says yes; says so if not."""
    if arguments.yes:
        return True
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        print(f"jobmonctl {arguments.command}: not done: there is no terminal to ask at, so give -y", file=sys.stderr)
        return False
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
        print()
    except KeyboardInterrupt:
        print()
        raise
    if answer.strip().lower() in ("y", "yes"):
        return True
    print(f"jobmonctl {arguments.command}: not done", file=sys.stderr)
    return False
