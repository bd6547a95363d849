"""The services that check_jobmon --submit --per-job has results for: their names, their definitions for Nagios and Icinga 2."""

import json
import re

from check_jobmon.text import label

NAGIOS, ICINGA2 = "nagios", "icinga2"
SERVERS = {NAGIOS: "Nagios", ICINGA2: "Icinga 2"}
HINT = "jobmonctl config services writes its definition"
_DEFINITIONS = {
    NAGIOS: (
        "define service {{\n    use                     jobmon-passive\n    host_name               {host}\n"
        "    service_description     {service}\n}}\n"
    ),
    ICINGA2: 'object Service {service} {{\n  import "jobmon-passive"\n  host_name = {host}\n}}\n',
}
_ILLEGAL = {
    # illegal_object_name_chars, and what ends a field, a line or a name in its files
    NAGIOS: re.compile("[`~!$%^&*|'\"<>?,()=;\x00-\x1f\x7f]|^ | $|\\\\$"),
    # what separates host and service, and what has no escape in its language
    ICINGA2: re.compile("[!\x00-\x1f\x7f]"),
}


def service_of(service: str, job: str) -> str:
    """The name of a job's service. Legal in Nagios and Icinga, the same every time, and no other job's
    (unless two names that need a hash have the same one, of 32 bits).

    >>> service_of("JOBMON", "NIGHTLY ETL")
    'JOBMON NIGHTLY ETL'
    >>> service_of("JOBMON", "A=B")
    'JOBMON A_B#52b82c13'
    >>> service_of("JOBMON", "A_B#52b82c13")
    'JOBMON A_B#52b82c13_#87a3ebad'
    """
    # label() marks its hash with `~`, which Nagios forbids; a name that looks as if it had one with `#` gets one more
    name = label(f"{job}~" if re.search("#[0-9a-f]{8}$", job) else job)
    return f"{service} {name.replace('~', '#')}"


def no_host(server: str, name: str) -> str:
    """Why NAGIOS or ICINGA2 can't have a host of this name; empty if it can."""
    found = _ILLEGAL[server].search(name)
    if found:
        return f"{SERVERS[server]} allows no host with {found[0]!r} in its name: rename the target"
    return (
        "" if len(name.encode()) <= 1000 else f"{SERVERS[server]} allows no host with so long a name: rename the target"
    )


def definition(server: str, host: str, service: str) -> str:
    """The definition of a service for NAGIOS or ICINGA2, made of the template in contrib/."""
    written = str if server == NAGIOS else lambda text: json.dumps(text, ensure_ascii=False)
    return _DEFINITIONS[server].format(host=written(host), service=written(service))
