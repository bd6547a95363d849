"""contrib/icinga2/zones: a master and two satellites, real ones; a satellite dies, and the master alerts once."""

import contextlib
import http.client
import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import FourStates
from tests.system.daemons import CONTRIB, Daemon, Plugin, free_port, install_plugin, new_place
from tests.system.test_icinga import PASSWORD, Icinga, _new_icinga, certified
from tests.system.test_icinga import authority as authority

ZONES = CONTRIB / "icinga2" / "zones"
NODES = ("master", "satellite-a", "satellite-b")
CERTIFICATES = "/var/lib/icinga2/certs"


@dataclass(frozen=True)
class Node:
    """One Icinga of the cluster."""

    icinga: Icinga
    daemon: Daemon

    def states(self) -> dict[str, float]:
        """Of the services that have been checked, as far as its API answers yet."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            found = self.services()
            return {name: attributes["state"] for name, attributes in found.items() if attributes["last_check_result"]}
        return {}

    def services(self) -> dict[str, dict[str, Any]]:
        """All services and their attributes."""
        return {one["name"]: one["attrs"] for one in self.icinga.ask("objects/services")}


def _certify(icinga: Icinga, authority: Path, name: str) -> None:
    """The node's certificate, of the one CA. It is for localhost, too: that is where all nodes run."""
    data = icinga.place.folder / "data"
    shutil.copy(authority / "certs" / "ca.crt", data / "certs")
    certified(data, authority / "ca", name, name, "localhost")
    for file in (data / "certs").iterdir():
        icinga.place.own(file)


def _configure(icinga: Icinga, plugin: Plugin, name: str, ports: dict[str, int], database: str) -> Path:
    """Contrib's files, with these names, ports and paths instead of their own."""
    place = icinga.place

    def edited(file: Path) -> str:
        text = file.read_text()
        for node, port in ports.items():
            text = text.replace(f'host = "{node}.example.com"', f'host = "127.0.0.1"\n  port = {port}')
            text = text.replace(f"https://{node}.example.com:5665", f"https://localhost:{port}")
        text = text.replace("/etc/check_jobmon.yml", "@targets@")
        # Icinga's own check, of whether a zone is connected, costs nothing; the plugin's is a program that is started
        seconds = 1 if "cluster-zone" in text else 4
        text = re.sub(r"(check|retry)_interval = (1m|30s)", rf"\1_interval = {seconds}s", text)
        return text.replace(f"{CERTIFICATES}/", "@certs@/")

    place.write("targets.yml", f"hosts:\n  db-{name[-1]}: {{{database}}}\n")
    zones = place.write("zones.conf", edited(ZONES / "zones.conf"))
    if name == "master":
        for folder in (ZONES / "zones.d").iterdir():
            place.make(f"configuration/zones.d/{folder.name}")
            for file in folder.iterdir():
                text = edited(file)
                # on whichever node it is read
                text = text.replace('"@targets@"', 'TestFolder + "/targets.yml"')
                text = text.replace('"@certs@/', 'TestFolder + "/data/certs/')
                place.write(f"configuration/zones.d/{folder.name}/{file.name}", text)
        place.make("configuration/zones.d/global-templates")
        place.write(
            "configuration/zones.d/global-templates/check_jobmon.conf",
            edited(CONTRIB / "icinga2" / "check_jobmon.conf"),
        )
    return place.write(
        "icinga2.conf",
        f"""
const NodeName = "{name}.example.com"
const ZoneName = "{name}"
const TestFolder = "{place.folder}"
const PluginDir = "{plugin.folder}"
const PluginContribDir = "{plugin.folder}"
include <itl>
include <plugins>
include "{zones}"
object CheckerComponent "checker" {{ }}
object ApiListener "api" {{
  bind_host = "127.0.0.1"
  bind_port = {icinga.port}
  accept_config = {"false" if name == "master" else "true"}
}}
object ApiUser "test" {{
  password = "{PASSWORD}"
  permissions = [ "*" ]
}}
""",
    )


@pytest.fixture
def nodes(authority: Path, four_states: FourStates) -> Iterator[dict[str, Node]]:
    """The master and its satellites: the database of one is OK, that of the other CRITICAL."""
    databases = {"master": four_states.ok, "satellite-a": four_states.ok, "satellite-b": four_states.critical}
    ports = {name: free_port() for name in NODES}
    with contextlib.ExitStack() as stack:
        running = {}
        # the master last, because it connects to them, and tries again only after ten seconds
        for name in reversed(NODES):
            place = stack.enter_context(new_place())
            icinga = Icinga(_new_icinga(place).path, place, ports[name])
            _certify(icinga, authority, f"{name}.example.com")
            server = databases[name].server
            plugin = install_plugin(place, server.passfile.read_text())
            where = f"host: 127.0.0.1, port: {server.port}, dbname: {databases[name].name}, user: postgres"
            file = _configure(icinga, plugin, name, ports, where)
            daemon = stack.enter_context(
                place.daemon(
                    *icinga.command("daemon", "-c", str(file), "-D", f"ZonesDir={place.folder}/configuration/zones.d")
                )
            )
            running[name] = Node(icinga, daemon)
        yield running


def test_a_satellite_that_dies_is_one_alert_on_the_master(nodes: dict[str, Node]) -> None:
    master = nodes["master"]
    well = {
        "satellite-a!connection": 0,
        "satellite-b!connection": 0,
        "jobmon on satellite-a!targets": 0,
        "jobmon on satellite-b!targets": 0,
        "db-a!JOBMON": 0,
        "db-b!JOBMON": 2,
    }
    master.daemon.until(lambda: master.states() == well, "all results at the master")
    source = master.services()["jobmon on satellite-a!targets"]["last_check_result"]["check_source"]
    assert source == "satellite-a.example.com"
    os.killpg(nodes["satellite-a"].daemon.process.pid, signal.SIGKILL)
    dead = {**well, "satellite-a!connection": 2}
    master.daemon.until(lambda: master.states() == dead, "the alert")

    def checked(name: str) -> Any:
        return master.services()[name]["last_check"]

    # nobody checks its databases, and the other goes on
    first, other = checked("db-a!JOBMON"), checked("db-b!JOBMON")
    master.daemon.until(lambda: checked("db-b!JOBMON") > other, "another result of the other satellite")
    assert checked("db-a!JOBMON") == first
    master.daemon.until(lambda: master.states() == dead, "no other alert")
