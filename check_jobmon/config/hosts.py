"""Turns connection arguments into libpq's parameters, its time zone and a schema. Looks up hosts in the configuration file.

YAML is imported only if a file exists; otherwise this costs two stat() calls.
"""

import argparse
import itertools
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from check_jobmon.config import ConfigFileError
from check_jobmon.config.connection_options import DEFAULT_SCHEMA, connection_parameters
from check_jobmon.text import clean

if TYPE_CHECKING:
    from check_jobmon.config.config_file import Host

ENVIRONMENT = "CHECK_JOBMON_CONFIG"
NAME = "check_jobmon.yml"
SYSTEM = f"/etc/{NAME}"
_PLACES = ("host", "hostaddr", "service")


class Location(NamedTuple):
    """Where a job log is: libpq's parameters and the schema."""

    parameters: dict[str, Any]
    schema: str


def locate(arguments: argparse.Namespace, also: "tuple[Host, ...]" = ()) -> Location:
    """What the connection arguments mean: -H NAME may be a name in the configuration file, and options win over it.

    `also` are hosts that the caller knows already; they win over those of the files. Sets PGTZ for --utc and --local.
    Raises ConfigFileError.
    """
    if getattr(arguments, "utc", False) or getattr(arguments, "local", False):
        # libpq asks for it as it connects; PgBouncer, too, keeps it for each of its clients
        os.environ["PGTZ"] = "UTC" if arguments.utc else local_zone()
    given = connection_parameters(arguments)
    name, host = arguments.host, None
    if name and "/" not in name:
        known = itertools.chain(also, (host for path in files(arguments.config) for host in hosts_of(path)))
        host = next((host for host in known if host.name == name), None)
    if host is None:
        return Location(given, arguments.schema or DEFAULT_SCHEMA)
    found = dict(host.parameters)
    if "conninfo" in given:
        for keyword in _conninfo_keywords(given["conninfo"]) - {"host", "hostaddr"}:
            found.pop(keyword, None)
    if any(place in found for place in _PLACES):
        del given["host"]
    return Location({**found, **given}, arguments.schema or host.schema or DEFAULT_SCHEMA)


def local_zone() -> str:
    """The name of this machine's time zone, from TZ (as tzset(3) reads it) or /etc/localtime. Raises ConfigFileError."""
    given = os.environ.get("TZ")
    place = os.path.realpath("/etc/localtime") if given is None else given.removeprefix(":")
    name = place.rpartition("zoneinfo/")[2]
    if name.startswith("/") and os.path.exists(name):
        raise ConfigFileError(
            f"--local: {clean(name, 100)} doesn't tell its time zone's name: set TZ, to Europe/Berlin for one"
        )
    # as the C library has it where nothing is set
    return "UTC" if not name or name.startswith("/") else name


def files(given: str | None) -> list[str]:
    """The files to search, in this order: the one that is named, else the user's and the system's, if they exist."""
    named = given or os.environ.get(ENVIRONMENT)
    if named:
        return [named]
    home = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(home):  # as the XDG Base Directory Specification has it
        home = os.path.expanduser("~/.config")
    return [path for path in (os.path.join(home, NAME), SYSTEM) if os.path.exists(path)]


def place(arguments: argparse.Namespace) -> str:
    """What the one database is called as a target."""
    return str(arguments.host or arguments.service or arguments.dbname or "default")


def hosts_of(path: str) -> "tuple[Host, ...]":
    """The hosts that a file names. Raises ConfigFileError."""
    from check_jobmon.config.config_file import read_hosts
    from check_jobmon.config.yaml_nodes import read_bytes

    return read_hosts(path, read_bytes(path))


def targets_of(path: str) -> "tuple[Host, ...]":
    """The hosts that a file names, at least one. Raises ConfigFileError."""
    hosts = hosts_of(path)
    if not hosts:
        raise ConfigFileError(f'{clean(path, 200)} has no targets: name them under "hosts:"')
    return hosts


def _conninfo_keywords(conninfo: str) -> set[str]:
    import psycopg

    try:
        return set(psycopg.conninfo.conninfo_to_dict(conninfo))
    except psycopg.Error:
        return set()  # libpq will say so itself
