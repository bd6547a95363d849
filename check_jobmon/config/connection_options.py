"""What the command lines of check_jobmon and jobmonctl share: the connection options, and how options are declared."""

import argparse
import contextlib
import os
import re
from collections.abc import Callable
from typing import Any

from check_jobmon.text import clean, storable, unrepresented

DEFAULT_SCHEMA = "jobmon"
SERVICE = "JOBMON"
SERVICE_LENGTH = 200
"""Characters. With a job's name and the host's it has to fit into a command for Nagios, of which PIPE_BUF is the bound."""


def whole_number(low: int, high: int, what: str, hint: str) -> Callable[[str], int]:
    """A converter for argparse; its message says that the text is not `what`, and to give `hint`."""

    def convert(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 100 and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}: give {hint}")
        return int(text)

    return convert


def path(text: str) -> str:
    """The path of a file: any bytes but NUL."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError("it is empty: give a value, or leave it out for the default")
    return text


def filled(text: str) -> str:
    """A host, database, role or schema: any text but an empty one."""
    return storable(path(text))


def service_name(text: str) -> str:
    """A converter for argparse, to the name of a service that every monitoring server takes."""
    if not re.fullmatch(r"[\w.:/+#@-]+( [\w.:/+#@-]+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} can't be the name of a service everywhere: give letters and digits")
    if len(text) > SERVICE_LENGTH:
        raise argparse.ArgumentTypeError(
            f"a service's name has at most {SERVICE_LENGTH} characters, and this {len(text)}"
        )
    return text


def seconds(fits: Callable[[float], bool], rule: str) -> Callable[[str], float]:
    """A converter for argparse, to a time in seconds that fits; `rule` says which do."""

    def convert(text: str) -> float:
        with contextlib.suppress(ValueError):
            if fits(number := float(text)):
                return number
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give seconds, {rule}")

    return convert


def mistake(parser: argparse.ArgumentParser, message: str) -> str:
    """What is wrong with the arguments, in one line."""
    return f"{clean(unrepresented(message), 500)} (see {parser.prog} --help)"


def help_formatter(prog: str) -> argparse.HelpFormatter:
    """Prints descriptions as they are written, in 80 columns."""
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=27, width=80)


def option(parser: argparse._ActionsContainer, spelling: str, text: str, convert: Any = None, **settings: Any) -> None:
    """Declare an option as its help spells it: `-p --port PORT`, or `-q --quiet` for a switch; or an argument: `name NAME`.

    `text` is the help.
    """
    *names, last = spelling.split()
    if last.startswith("-"):
        parser.add_argument(*names, last, action="store_true", help=text, **settings)
    else:
        parser.add_argument(*names, metavar=last, type=convert, help=text, **settings)


def add_connection_arguments(parser: argparse.ArgumentParser, times: bool = True) -> None:
    """-H, -p, -d, -U and --schema, spelled as the other PostgreSQL plugins spell them. `times`: also --utc and --local."""
    group = parser.add_argument_group(
        "connection",
        "Defaults come from libpq's environment variables (PGHOST, PGSERVICE, ...), the\npassword from ~/.pgpass.",
    )
    port = whole_number(1, 65535, "a port", "a number from 1 to 65535")
    option(group, "-H --host HOST", "server's name, address or socket directory", filled)
    option(group, "-p --port PORT", "server's port", port)
    option(group, "-d --dbname DBNAME", "database that has the job log", filled)
    option(group, "-U --user USER", "role to log in as", filled)
    option(group, "--service NAME", "section of pg_service.conf to connect with", filled)
    option(group, "--conninfo STRING", "libpq connection string or URI, without a password", filled)
    option(group, "--schema SCHEMA", f"schema of the job log (default: {DEFAULT_SCHEMA})", filled)
    places = "$CHECK_JOBMON_CONFIG, else ~/.config/check_jobmon.yml and /etc/check_jobmon.yml"
    option(group, "--config FILE", f"configuration file; its 'hosts:' defines names for -H (default: {places})", path)
    if times:
        zone = group.add_mutually_exclusive_group()
        option(zone, "--utc", "print times in UTC (default: in the session's time zone, see TimeZone, PGTZ)")
        option(zone, "--local", "print times in this machine's time zone (TZ, else /etc/localtime)")


def connection_parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """The connection options that were given, as libpq's parameters. A single option, such as --port, wins over --conninfo."""
    given = {name: getattr(arguments, name) for name in ("conninfo", "service", "host", "port", "dbname", "user")}
    return {name: value for name, value in given.items() if value is not None}


def complete(parser: argparse.ArgumentParser) -> None:
    """Completion at the prompt, by argcomplete: only when the shell asks, so that a check doesn't pay for it."""
    if "_ARGCOMPLETE" in os.environ:
        with contextlib.suppress(ImportError):
            import argcomplete

            argcomplete.autocomplete(parser)
