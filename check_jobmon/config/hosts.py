"""Turns connection arguments into libpq's parameters and a schema. Looks up names for hosts in the configuration file.

YAML is imported only if a file exists; otherwise this costs two stat() calls.
"""

import argparse
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from check_jobmon.config.connection_options import DEFAULT_SCHEMA, connection_parameters

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

    `also` are hosts that the caller knows already; they win over those of the files. Raises ConfigFileError.
    """
    given = connection_parameters(arguments)
    schema = arguments.schema or DEFAULT_SCHEMA
    name = arguments.host
    if not name or "/" in name:
        return Location(given, schema)
    host = next((host for host in also if host.name == name), None) or _look_up(name, arguments.config)
    if host is None:
        return Location(given, schema)
    found = dict(host.parameters)
    if "conninfo" in given:
        for keyword in _conninfo_keywords(given["conninfo"]) - {"host", "hostaddr"}:
            found.pop(keyword, None)
    if any(place in found for place in _PLACES):
        del given["host"]
    return Location({**found, **given}, arguments.schema or host.schema or DEFAULT_SCHEMA)


def files(given: str | None) -> list[str]:
    """The files to search, in this order: the one that is named, else the user's and the system's, if they exist."""
    named = given or os.environ.get(ENVIRONMENT)
    if named:
        return [named]
    home = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(home):  # as the XDG Base Directory Specification has it
        home = os.path.expanduser("~/.config")
    return [path for path in (os.path.join(home, NAME), SYSTEM) if os.path.exists(path)]


def hosts_of(path: str) -> "tuple[Host, ...]":
    """The hosts that a file names. Raises ConfigFileError."""
    from check_jobmon.config.config_file import read_hosts
    from check_jobmon.config.yaml_nodes import read_bytes

    return read_hosts(path, read_bytes(path))


def _look_up(name: str, given: str | None) -> "Host | None":
    for path in files(given):
        for host in hosts_of(path):
            if host.name == name:
                return host
    return None


def _conninfo_keywords(conninfo: str) -> set[str]:
    import psycopg

    try:
        return set(psycopg.conninfo.conninfo_to_dict(conninfo))
    except psycopg.Error:
        return set()  # libpq will say so itself
