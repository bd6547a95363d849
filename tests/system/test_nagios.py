"""Nagios 4: takes the configuration in contrib/, runs the plugin, and shows what it printed."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.database import Database
from tests.system.conftest import FourStates
from tests.system.daemons import CONTRIB, Daemon, Place, Plugin, program
from tests.test_code_blocks import in_language
from tests.test_readme import DOCS

OBJECTS = Path("/etc/nagios4/objects")
SAMPLES = ("commands", "contacts", "templates", "timeperiods")


@pytest.fixture
def nagios() -> str:
    """The path of Nagios."""
    found = program("nagios4", "nagios4-core")
    missing = [name for name in SAMPLES if not (OBJECTS / f"{name}.cfg").exists()]
    if missing:
        pytest.skip(f"Nagios's own object files {missing} are not in {OBJECTS}: reinstall nagios4-core")
    return found


def _configuration(place: Place, plugins: Path, objects: str) -> str:
    """The path of a nagios.cfg with Nagios's sample objects, ours from contrib/, and those given."""
    place.write("check_jobmon.cfg", (CONTRIB / "nagios" / "check_jobmon.cfg").read_text())
    place.write("objects.cfg", objects)
    place.write("resource.cfg", f"$USER1$={plugins}\n")
    place.make("spool")
    settings = {
        "log_file": "nagios.log",
        "object_cache_file": "objects.cache",
        "precached_object_file": "objects.precache",
        "resource_file": "resource.cfg",
        "status_file": "status.dat",
        "state_retention_file": "retention.dat",
        "lock_file": "nagios.pid",
        "temp_file": "nagios.tmp",
        "temp_path": "spool",
        "check_result_path": "spool",
        "command_file": "nagios.cmd",
        "query_socket": "nagios.qh",
        "log_archive_path": "spool",
        "debug_file": "nagios.debug",
    }
    lines = [f"cfg_file={OBJECTS / name}.cfg" for name in SAMPLES]
    lines += [f"cfg_file={place.folder / name}.cfg" for name in ("check_jobmon", "objects")]
    lines += [f"{name}={place.folder / path}" for name, path in settings.items()]
    lines += [
        f"nagios_user={place.user.pw_name}",
        f"nagios_group={place.group}",
        "use_syslog=0",
        "check_for_updates=0",
        "check_external_commands=0",
        "retain_state_information=0",
        "enable_notifications=0",
        "execute_host_checks=0",
        # what Debian's nagios.cfg says
        "illegal_object_name_chars=`~!$%^&*|'\"<>?,()=",
        "illegal_macro_output_chars=`~$&|'\"<>",
        # all services at once, and status.dat soon
        "service_inter_check_delay_method=n",
        "max_service_check_spread=1",
        "status_update_interval=2",
        "check_result_reaper_frequency=1",
        "interval_length=60",
    ]
    return str(place.write("nagios.cfg", "\n".join(lines) + "\n"))


def test_nagios_takes_the_configuration_in_contrib(nagios: str, place: Place) -> None:
    verified = place.run(nagios, "-v", _configuration(place, place.folder, ""))
    assert "Checked 4 services" in verified.stdout, verified.stdout
    assert "Total Warnings: 0" in verified.stdout, verified.stdout
    assert "Total Errors:   0" in verified.stdout, verified.stdout
    assert verified.status == 0


def test_nagios_takes_the_definitions_in_the_guide(nagios: str, place: Place) -> None:
    services = in_language(DOCS / "guides/nagios-icinga.rst", "nagios")
    verified = place.run(nagios, "-v", _configuration(place, place.folder, services))
    assert "Checked 6 services" in verified.stdout, verified.stdout
    assert "Total Warnings: 0" in verified.stdout, verified.stdout
    assert verified.status == 0


def _services(databases: Iterable[Database], options: str) -> str:
    """A service for each database, made of contrib's template and command."""
    host = """
define host {
    use                     generic-host
    host_name               database
    address                 127.0.0.1
    contact_groups          admins
    max_check_attempts      1
}
"""
    return host + "".join(
        f"""
define service {{
    use                     jobmon-service
    host_name               database
    service_description     {database.name}
    check_command           check_jobmon!-p {database.server.port} -d {database.name} -U postgres -t 50 {options}
    check_interval          60
    max_check_attempts      1
}}
"""
        for database in databases
    )


def _status(place: Place) -> dict[str, dict[str, str]]:
    """The services that status.dat shows as checked, by description."""
    path = place.folder / "status.dat"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    services = [
        dict(line.strip().split("=", 1) for line in block.splitlines() if "=" in line)
        for block in re.findall(r"^servicestatus \{\n(.*?)^\s*\}", text, re.M | re.S)
    ]
    return {s["service_description"]: s for s in services if s["has_been_checked"] == "1"}


def _unescaped(text: str) -> str:
    """Long output as it was: status.dat has `\\n` for a newline and `\\\\` for a backslash."""
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)


@pytest.mark.parametrize(("options", "states"), [("", (0, 1, 2, 3)), ("-v", (1, 2))], ids=["plain", "v"])
def test_nagios_shows_what_the_plugin_printed(
    nagios: str, place: Place, plugin: Plugin, four_states: FourStates, options: str, states: tuple[int, ...]
) -> None:
    """In each state, and in two of them with -v, too."""
    databases = {state: list(four_states)[state] for state in states}
    configuration = _configuration(place, plugin.folder, _services(databases.values(), options))
    with place.daemon(nagios, configuration) as daemon:
        shown = _all_checked(daemon, place, len(states))
    # all that the plugin prints at most
    assert 8000 < len(plugin.printed(four_states.critical).stdout.encode()) <= 8192
    for state, database in databases.items():
        printed = plugin.printed(database)
        service = shown[database.name]
        assert printed.status == state
        assert service["current_state"] == str(state)
        # in the first line Nagios makes a colon of each semicolon, which separates the fields of its log
        assert service["plugin_output"] == printed.first_line.replace(";", ":")
        assert service["performance_data"] == printed.perfdata
        assert _unescaped(service["long_plugin_output"]) == printed.long_output


def _all_checked(daemon: Daemon, place: Place, number: int) -> dict[str, dict[str, str]]:
    def found() -> dict[str, dict[str, str]]:
        services = {name: s for name, s in _status(place).items() if name.startswith("state_")}
        return services if len(services) == number else {}

    return daemon.until(found, f"{number} services checked")


def test_characters_that_mean_something_to_nagios_reach_the_plugin_as_contrib_says(
    nagios: str, place: Place, plugin: Plugin, four_states: FourStates
) -> None:
    schema = "a;b$c!d e"
    quoted = schema.replace(";", r"\;").replace("$", "$$").replace("!", r"\!")
    database = four_states.unknown
    configuration = _configuration(place, plugin.folder, _services([database], f"--schema '{quoted}'"))
    with place.daemon(nagios, configuration) as daemon:
        shown = _all_checked(daemon, place, 1)
    assert f'(looked for "{schema}"' in plugin.printed(database).first_line
    assert shown[database.name]["current_state"] == "3"
