"""Icinga 2: takes the configuration in contrib/, runs the plugin, and its API shows what it printed."""

import base64
import contextlib
import http.client
import json
import re
import shutil
import ssl
import subprocess
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.database import run_module
from tests.system.conftest import FourStates
from tests.system.daemons import CONTRIB, Place, Plugin, free_port, program
from tests.test_code_blocks import in_language
from tests.test_readme import DOCS

PASSWORD = "only-for-this-test"
CLIENT = "check_jobmon"
"""The common name of the certificate of who submits results."""


@dataclass(frozen=True)
class Icinga:
    """An Icinga 2 with all its folders in the place."""

    path: str
    place: Place
    port: int

    @property
    def options(self) -> list[str]:
        """What keeps it in the place and the ordinary user's."""
        constants = {name: self.place.folder / folder for name, folder in FOLDERS.items()}
        user = {"RunAsUser": self.place.user.pw_name, "RunAsGroup": self.place.group}
        return [part for name, text in {**constants, **user}.items() for part in ("-D", f"{name}={text}")]

    def command(self, *arguments: str) -> list[str]:
        """An icinga2 command line. Its settings are environment variables where Debian's defaults would win."""
        return ["env", f"ICINGA2_USER={self.place.user.pw_name}", self.path, *arguments, *self.options]

    def configuration(self, plugins: Path, objects: str) -> str:
        """The path of an icinga2.conf with our file from contrib/ and the objects given.

        Services are checked only when `check_at_once` says so: what one shows is what the plugin printed or submitted last.
        """
        return str(
            self.place.write(
                "icinga2.conf",
                f"""
const NodeName = "master"
const ZoneName = NodeName
const PluginDir = "{plugins}"
const PluginContribDir = "{plugins}"
include <itl>
include <plugins>
object Endpoint NodeName {{ }}
object Zone ZoneName {{ endpoints = [ NodeName ] }}
object IcingaApplication "app" {{ enable_service_checks = false }}
object CheckerComponent "checker" {{ }}
object ApiListener "api" {{
  bind_host = "127.0.0.1"
  bind_port = {self.port}
}}
object ApiUser "test" {{
  password = "{PASSWORD}"
  permissions = [ "*" ]
}}
include "{self.place.write("check_jobmon.conf", (CONTRIB / "icinga2" / "check_jobmon.conf").read_text())}"
{objects}
""",
            )
        )

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The results that the API gives for a path: a GET, or with a body a POST."""
        request = urllib.request.Request(
            f"https://localhost:{self.port}/v1/{path}",
            headers={
                "Accept": "application/json",
                "Authorization": "Basic " + base64.b64encode(f"test:{PASSWORD}".encode()).decode(),
            },
            data=None if body is None else json.dumps(body).encode(),
        )
        trusted = ssl.create_default_context(cafile=str(self.place.folder / "data/certs/ca.crt"))
        trusted.check_hostname = False  # the certificate is for the node's name
        with urllib.request.urlopen(request, timeout=60, context=trusted) as answer:
            return json.load(answer)["results"]


@dataclass(frozen=True)
class Figure:
    """One figure of the perfdata."""

    label: str
    value: float
    unit: str | None
    warn: float | None
    crit: float | None
    least: float | None


FOLDERS = {
    "ConfigDir": "configuration",
    "DataDir": "data",
    "LogDir": "log",
    "CacheDir": "cache",
    "SpoolDir": "spool",
    "InitRunDir": "run",
}


CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
"""Keys that are made at once: Icinga's own are RSA keys of 4096 bits, which take seconds."""


def certified(data: Path, ca: Path, common_name: str, file: str, *names: str) -> None:
    """A key and a certificate of that authority's for a common name and these host names, in data/certs."""
    key, request, extensions, certificate = (data / "certs" / f"{file}.{end}" for end in ("key", "csr", "ext", "crt"))
    extensions.write_text(f"subjectAltName = {', '.join(f'DNS:{name}' for name in (common_name, *names))}\n")
    openssl("req", "-new", *CURVE, "-subj", f"/CN={common_name}", "-keyout", str(key), "-out", str(request))
    authority = ("-CA", f"{ca}/ca.crt", "-CAkey", f"{ca}/ca.key", "-extfile", str(extensions))
    openssl("x509", "-req", "-in", str(request), *authority, "-days", "400", "-out", str(certificate))


def openssl(*arguments: str) -> None:
    """Run it."""
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _new_icinga(place: Place) -> Icinga:
    icinga = Icinga(program("icinga2", "icinga2-bin icinga2-common"), place, free_port())
    for folder in (*FOLDERS.values(), "data/ca", "data/certs"):
        if not (place.folder / folder).exists():
            place.make(folder)
    return icinga


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Icinga's data folder with a certificate authority and certificates for the node, for localhost and for a client."""
    data = tmp_path_factory.mktemp("icinga")
    ca, certs = data / "ca", data / "certs"
    ca.mkdir()
    certs.mkdir()
    subject = ("-subj", "/CN=Icinga CA", "-days", "400")
    openssl("req", "-x509", *CURVE, *subject, "-keyout", f"{ca}/ca.key", "-out", f"{ca}/ca.crt")
    shutil.copy(ca / "ca.crt", certs)
    for name, file in (("master", "master"), ("localhost", "localhost"), (CLIENT, "client")):
        certified(data, ca, name, file)
    return data


def certified_icinga(place: Place, authority: Path) -> Icinga:
    """An Icinga 2 with a certificate authority and certificates."""
    icinga = _new_icinga(place)
    for file in authority.glob("c*/*"):
        copy = place.folder / "data" / file.relative_to(authority)
        shutil.copy2(file, copy)
        place.own(copy)
    return icinga


@pytest.fixture
def icinga(place: Place, authority: Path) -> Icinga:
    """Such an Icinga in the test's folder."""
    return certified_icinga(place, authority)


EXAMPLE = re.compile(r"^ \*        (object Host .*?^ \*        \})$", re.M | re.S)


def test_icinga_takes_the_configuration_in_contrib_with_the_host_it_shows(icinga: Icinga) -> None:
    contrib = (CONTRIB / "icinga2" / "check_jobmon.conf").read_text()
    example = EXAMPLE.search(contrib)
    assert example
    host = "\n".join(text.replace(" *        ", "") for text in EXAMPLE.findall(contrib))
    generic = 'template Host "generic-host" { check_command = "hostalive" }\n'
    configuration = icinga.configuration(icinga.place.folder, generic + host)
    checked = icinga.place.run(*icinga.command("daemon", "-C", "-c", configuration))
    assert checked.status == 0, checked.stdout
    assert "Instantiated 5 Services." in checked.stdout
    assert "warning" not in checked.stdout.replace("warning threshold", ""), checked.stdout


def test_icinga_takes_the_host_in_the_guide(icinga: Icinga) -> None:
    generic = 'template Host "generic-host" { check_command = "hostalive" }\n'
    host = in_language(DOCS / "guides/nagios-icinga.rst", "icinga2")
    configuration = icinga.configuration(icinga.place.folder, generic + host)
    checked = icinga.place.run(*icinga.command("daemon", "-C", "-c", configuration))
    assert checked.status == 0, checked.stdout
    assert "Instantiated 2 Services." in checked.stdout


def test_each_argument_in_contrib_has_a_description() -> None:
    contrib = (CONTRIB / "icinga2" / "check_jobmon.conf").read_text()
    arguments = re.findall(r'^    "(-[^"]+|verbosity)" = \{\n(.*?)^    \}', contrib, re.M | re.S)
    assert len(arguments) == contrib.count("value = ") + contrib.count('set_if = "')
    for name, body in arguments:
        assert re.search(r'description = "[A-Z][^"]{10,}"', body), name


def test_each_option_of_the_plugin_can_be_set() -> None:
    contrib = (CONTRIB / "icinga2" / "check_jobmon.conf").read_text()
    arguments = {*re.findall(r'^    "(-[^"]+)" = \{', contrib, re.M), "-v", "-h", "-V", "--output", "-o"}
    options = re.findall(r"^  (-.*?)(?:  |$)", run_module("check_jobmon", "--help").stdout, re.M)
    assert len(options) > 10
    for option in options:
        assert arguments & {spelling.split()[0] for spelling in option.split(", ")}, option


EVERYTHING = """
  vars.jobmon_databases["everything"] = {
    jobmon_host = "db.invalid"
    jobmon_port = 6432
    jobmon_schema = "job log"
    jobmon_service = "etl"
    jobmon_conninfo = "sslmode=require connect_timeout=3"
    jobmon_job = [ "NIGHTLY ETL", "LOAD*" ]
    jobmon_exclude = "LOAD 'X'"
    jobmon_config = "/etc/jobmon.yml"
    jobmon_failures = 2
    jobmon_connection_error = "unknown"
    jobmon_crashed = "ok"
    jobmon_perfdata = "summary"
    jobmon_max_output = 4096
    jobmon_timeout = 5
    jobmon_verbose = "vv"
  }
"""
EVERYTHING_ARGUMENTS = [
    ("-H", "db.invalid"),
    ("-p", "6432"),
    ("-d", "everything"),
    ("-U", "postgres"),
    ("--schema", "job log"),
    ("--service", "etl"),
    ("--conninfo", "sslmode=require connect_timeout=3"),
    ("-j", "NIGHTLY ETL"),
    ("-j", "LOAD*"),
    ("-x", "LOAD 'X'"),
    ("--config", "/etc/jobmon.yml"),
    ("--failures", "2"),
    ("--connection-error", "unknown"),
    ("--crashed", "ok"),
    ("--perfdata", "summary"),
    ("--max-output", "4096"),
    ("-t", "5"),
    ("-vv",),
]


def _host(states: FourStates) -> str:
    databases = "\n".join(f'  vars.jobmon_databases["{database.name}"] = {{}}' for database in states)
    return f"""
object Host "database" {{
  check_command = "dummy"
  address = "127.0.0.1"
  vars.jobmon_port = {states.ok.server.port}
  vars.jobmon_user = "postgres"
  vars.jobmon_timeout = 30
  vars.jobmon_connection_error = "unknown"
{databases}
  vars.jobmon_databases["{states.warning.name}"] = {{ jobmon_verbose = "vv" }}
{EVERYTHING}
}}
"""


def _answers(icinga: Icinga) -> bool:
    """Whether the API is there."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        icinga.ask("objects/endpoints")
        return True
    return False


def check_at_once(icinga: Icinga, which: str = "true") -> None:
    """Have the services that this filter finds checked now, and not some time in the next minute."""
    icinga.ask("actions/reschedule-check", {"type": "Service", "filter": which, "force": True})


def _checked(icinga: Icinga, number: int) -> dict[str, dict[str, Any]]:
    """The services that have been checked, by name; none as long as they are fewer."""
    services = [answer["attrs"] for answer in icinga.ask("objects/services")]
    checked = {s["__name"].partition("!")[2]: s for s in services if s["last_check_result"]}
    return checked if len(checked) >= number else {}


def _parsed(icinga: Icinga, service: str) -> list[Figure]:
    """A service's perfdata as Icinga itself understands it, less what is unknown, for which it has no notion."""
    script = f"""
        var figures = get_service("database", "{service}").last_check_result.performance_data
        figures.filter(f => !match("*=U;*", f)).map(parse_performance_data).map(
          f => [ f.label, f.value, f.unit, f.warn, f.crit, f.min ])
    """
    parameters = urllib.parse.urlencode({"command": script, "session": "test"}, quote_via=urllib.parse.quote)
    answer = icinga.ask(f"console/execute-script?{parameters}", {})
    assert answer[0]["status"] == "Executed successfully.", answer
    return [Figure(*figure) for figure in answer[0]["result"]]


FIGURE = re.compile(r"(?:'([^'=]+)'|([^'= ]+))=(\d+(?:\.\d+)?)(s?)(?:;([\d.]*))?(?:;([\d.]*))?(?:;([\d.]*))?(?: |$)")
"""A figure of the plugin's perfdata, where its value is known."""


def _figures(perfdata: str) -> list[Figure]:
    """The plugin's perfdata as it should be understood."""
    return [
        Figure(
            quoted or plain,
            float(value),
            "seconds" if unit else "",
            *(float(part) if part else None for part in limits),
        )
        for quoted, plain, value, unit, *limits in FIGURE.findall(perfdata)
    ]


def test_icinga_shows_what_the_plugin_printed(icinga: Icinga, plugin: Plugin, four_states: FourStates) -> None:
    configuration = icinga.configuration(plugin.folder, _host(four_states))
    with icinga.place.daemon(*icinga.command("daemon", "-c", configuration)) as daemon:
        daemon.until(lambda: _answers(icinga), "the API answers")
        check_at_once(icinga)
        shown = daemon.until(lambda: _checked(icinga, 5), "five services checked")
        figures = {
            name: _parsed(icinga, name)
            for name in shown
            if name.startswith("jobs of state") and shown[name]["state"] != 3
        }
    # the pairs in any order, which Icinga decides
    _, *arguments = shown["jobs of everything"]["last_check_result"]["command"]
    for option in EVERYTHING_ARGUMENTS:
        assert any(tuple(arguments[i : i + len(option)]) == option for i in range(len(arguments))), (option, arguments)
    assert len(arguments) == sum(len(option) for option in EVERYTHING_ARGUMENTS)
    for state, database in enumerate(four_states):
        printed = plugin.printed(database)
        service = f"jobs of {database.name}"
        result = shown[service]["last_check_result"]
        assert printed.status == state
        assert shown[service]["state"] == result["exit_status"] == state
        assert [line.rstrip() for line in result["output"].splitlines()] == [
            printed.first_line,
            *printed.long_output.splitlines(),
        ]
        assert " ".join(str(figure) for figure in result["performance_data"] or []) == printed.perfdata
        if database is not four_states.unknown:
            assert figures[service] == _figures(printed.perfdata)
