"""The arguments that check_jobmon and jobmonctl share: how to connect, and to which schema."""

import argparse
import contextlib
import os
from collections.abc import Callable
from typing import Any

from check_jobmon.text import clean, storable, unrepresented


def port(text: str) -> int:
    """A TCP port, 1 to 65535."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535")
    return int(text)


def path(text: str) -> str:
    """A file, whose name may have any bytes."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError("it is empty: give a value, or leave the option out for libpq's default")
    return text


def filled(text: str) -> str:
    """A host, database, role or schema: anything but nothing."""
    # argparse converts the default too, which has to stay what it is
    return text if isinstance(text, DefaultSchema) else storable(path(text))


def mistake(parser: argparse.ArgumentParser, message: str) -> str:
    """What is wrong with the arguments, in one line."""
    return f"{clean(unrepresented(message), 500)} (see {parser.prog} --help)"


class DefaultSchema(str):
    """The schema that nobody named, so that the configuration file may name it."""


def seconds(text: str, fits: Callable[[float], bool], rule: str) -> float:
    """A time in seconds that fits; `rule` says which do."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not fits(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give seconds, {rule}")
    return number


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """-H, -p, -d, -U and --schema, spelled as the other PostgreSQL plugins spell them."""
    group = parser.add_argument_group(
        "connection",
        "Each defaults to what libpq finds: PGHOST, PGSERVICE and the rest;\n~/.pgpass has the password.",
    )
    group.add_argument("-H", "--host", type=filled, metavar="HOST", help="server's name, address or socket directory")
    group.add_argument("-p", "--port", type=port, metavar="PORT", help="server's port")
    group.add_argument("-d", "--dbname", type=filled, metavar="DBNAME", help="database that has the job log")
    group.add_argument("-U", "--user", type=filled, metavar="USER", help="role to log in as")
    group.add_argument("--service", type=filled, metavar="NAME", help="section of pg_service.conf to connect by")
    group.add_argument(
        "--conninfo", type=filled, metavar="STRING", help="libpq connection string or URI, without a password"
    )
    schema = DefaultSchema("jobmon")
    group.add_argument("--schema", type=filled, default=schema, help="schema of the job log (default: %(default)s)")
    group.add_argument(
        "--config",
        type=path,
        metavar="FILE",
        help="file whose hosts: say what -H's names mean (default: CHECK_JOBMON_CONFIG, else "
        "~/.config/check_jobmon.yml, /etc/check_jobmon.yml)",
    )


def connection_parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of the above, as libpq's parameters; an option of its own wins over --conninfo."""
    given = {name: getattr(arguments, name) for name in ("conninfo", "service", "host", "port", "dbname", "user")}
    return {name: value for name, value in given.items() if value is not None}


def complete(parser: argparse.ArgumentParser) -> None:
    """Completion at the prompt, by argcomplete: only when the shell asks, so that a check doesn't pay for it."""
    if "_ARGCOMPLETE" in os.environ:
        with contextlib.suppress(ImportError):
            import argcomplete

            argcomplete.autocomplete(parser)
