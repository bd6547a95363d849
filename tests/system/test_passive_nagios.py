"""Nagios 4 takes passive results, through its command file and as check result files, and shows what was submitted."""

import re
from collections.abc import Iterable
from pathlib import Path

import psycopg
import pytest

from check_jobmon.config.services import service_of
from tests.database import Database, run_module
from tests.plugin.targets.conftest import Targets, ctl, services_of_hostile_names
from tests.plugin.targets.conftest import targets as targets
from tests.system.conftest import FourStates
from tests.system.daemons import Daemon, Place
from tests.system.test_nagios import _configuration, _unescaped
from tests.system.test_nagios import nagios as nagios

SUBMITTED = ["-t", "40", "-x", "LOAD [1-9]*"]
"""Options for results that fit whole into one command."""


def configuration(place: Place, services: Iterable[tuple[str, str]], hosts: Iterable[str] = (), more: str = "") -> str:
    """A nagios.cfg with these hosts' services, made of contrib's template, and commands allowed; with `hosts` and `more`.

    Nagios itself has no plugin: all results are submitted.
    """
    named = list(services)
    defined = {*hosts, *(host for host, _ in named)}
    host_objects = "".join(
        f"""
define host {{
    use                     generic-host
    host_name               {host}
    contact_groups          admins
    max_check_attempts      1
}}
"""
        for host in sorted(defined)
    )
    objects = "".join(
        f"""
define service {{
    use                     jobmon-passive
    host_name               {host}
    service_description     {service}
}}
"""
        for host, service in named
    )
    path = Path(_configuration(place, place.folder, host_objects + objects + more))
    path.write_text(path.read_text() + "check_external_commands=1\nlog_passive_checks=1\n")
    return str(path)


def shown(place: Place, daemon: Daemon, number: int) -> dict[tuple[str, str], dict[str, str]]:
    """Our services that have a result, by host and description, when there are so many."""

    def found() -> dict[tuple[str, str], dict[str, str]]:
        passive = (s for s in _blocks(place) if s["host_name"] != "db.example.com")  # that is contrib's example
        services = {(s["host_name"], s["service_description"]): s for s in passive}
        return services if len(services) >= number else {}

    return daemon.until(found, f"{number} services have results")


def _blocks(place: Place) -> list[dict[str, str]]:
    path = place.folder / "status.dat"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    services = [
        dict(line.strip().split("=", 1) for line in block.splitlines() if "=" in line)
        for block in re.findall(r"^servicestatus \{\n(.*?)^\s*\}", text, re.M | re.S)
    ]
    return [service for service in services if service["has_been_checked"] == "1"]


def started(place: Place, daemon: Daemon) -> None:
    """Wait until Nagios reads its command file."""
    daemon.until(lambda: (place.folder / "nagios.cmd").exists() and (place.folder / "status.dat").exists(), "it starts")


@pytest.mark.parametrize("way", ["nagios.cmd", "spool"])
def test_nagios_shows_what_was_submitted(
    nagios: str, place: Place, four_states: FourStates, targets: Targets, way: str
) -> None:
    file = targets({database.name: database.parameters for database in four_states})
    services = [(database.name, "JOBMON") for database in four_states]
    with place.daemon(nagios, configuration(place, services)) as daemon:
        started(place, daemon)
        output = run_module("check_jobmon", "--targets", file, "--submit", f"nagios:{place.folder / way}", *SUBMITTED)
        assert (output.status, output.stderr) == (0, ""), output.stdout
        found = shown(place, daemon, 4)
    for state, database in enumerate(four_states):
        service = found[database.name, "JOBMON"]
        printed = database.check(*SUBMITTED)
        assert service["check_type"] == "1"
        assert service["current_state"] == str(state)
        assert service["plugin_output"] == printed.first_line.replace(";", ":")
        assert _unescaped(service["long_plugin_output"]).rstrip("\n") == printed.long_output
        labels = re.sub(r"=[^ ]*", "", service["performance_data"])
        assert labels == re.sub(r"=[^ ]*", "", printed.perfdata)


@pytest.mark.parametrize("way", ["nagios.cmd", "spool"])
def test_the_services_that_jobmonctl_writes_get_the_result_of_each_job_whatever_its_name(
    nagios: str,
    place: Place,
    database: Database,
    session: psycopg.Connection,
    targets: Targets,
    way: str,
) -> None:
    host = "größer #1"
    file = targets({host: database.parameters})
    services = services_of_hostile_names(session, file)
    written = ctl("config", "services", "--nagios", "--targets", file)
    assert (written.status, written.stderr) == (0, "")
    path = configuration(place, [], [host], written.stdout)
    verified = place.run(nagios, "-v", path)
    assert "Total Errors:   0" in verified.stdout, verified.stdout
    assert f"Checked {len(services) + 4} services" in verified.stdout, verified.stdout  # and contrib's examples
    submit = ["--targets", file, "--submit", f"nagios:{place.folder / way}", "--per-job", "-t", "40"]
    with place.daemon(nagios, path) as daemon:
        started(place, daemon)
        output = run_module("check_jobmon", *submit)
        assert (output.status, output.stderr) == (0, ""), output.stdout
        found = shown(place, daemon, len(services))
        session.execute("INSERT INTO jobmon.job_check_config VALUES ('NEW; \"JOB', '1 h', '2 h', true, 0, '-infinity')")
        output = run_module("check_jobmon", *submit)
    assert set(found) == {(host, service) for service in services}
    for (_, service), result in found.items():
        assert result["current_state"] == "2"
        expected = services[service]["output"].replace(";", ":").replace("|", "¦")
        assert service == "JOBMON" or result["plugin_output"] == expected
    new = service_of("JOBMON", 'NEW; "JOB')
    reason = (
        f"Nagios has no such service ({place.folder}/objects.cache): jobmonctl config services writes its definition"
    )
    said = f"1 of {len(services) + 1} results not taken by nagios:{place.folder / way}: {host}!{new}: {reason}"
    assert output.first_line == f"JOBMON CRITICAL - {said}"
    assert output.status == 2
