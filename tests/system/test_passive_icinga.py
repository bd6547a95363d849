"""Icinga 2 takes passive results through its API, over verified TLS, and shows what was submitted."""

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from check_jobmon.config.services import service_of
from check_jobmon.text import clean
from tests.database import Database, Output, run_module
from tests.plugin.targets.conftest import ODD_HOST, Targets, ctl, services_of_hostile_names
from tests.plugin.targets.conftest import targets as targets
from tests.system.conftest import FourStates
from tests.system.daemons import Daemon, Plugin, new_place
from tests.system.test_icinga import CLIENT, PASSWORD, Icinga, _answers, certified_icinga, check_at_once
from tests.system.test_icinga import authority as authority
from tests.system.test_icinga import icinga as icinga

WRITTEN = ": jobmonctl config services writes its definition"


@dataclass(frozen=True)
class Api:
    """A running Icinga whose certificate is for localhost, and a client certificate that it lets in."""

    icinga: Icinga
    daemon: Daemon
    files: Path

    @property
    def url(self) -> str:
        """For --submit."""
        return f"icinga:https://localhost:{self.icinga.port}"

    @property
    def ca(self) -> list[str]:
        """Options for Icinga's own CA."""
        return ["--ca-cert", str(self.files / "ca.crt")]

    @property
    def certificate(self) -> list[str]:
        """Options for the client certificate."""
        return ["--cert", str(self.files / "client.crt"), "--key", str(self.files / "client.key")]

    def submit(self, file: str, *options: str, **environment: str) -> Output:
        """Run the plugin."""
        return run_module("check_jobmon", "--targets", file, "--submit", self.url, "-t", "40", *options, **environment)

    def services(self) -> dict[str, dict[str, object]]:
        """All services by name, as the API shows them."""
        return {answer["name"]: answer["attrs"] for answer in self.icinga.ask("objects/services")}


def _literal(text: str) -> str:
    """A string in Icinga's language."""
    return json.dumps(text, ensure_ascii=False)


@contextlib.contextmanager
def running(
    icinga: Icinga, services: Iterable[tuple[str, str]], more: str = "", plugin: Plugin | None = None
) -> Iterator[Api]:
    """Icinga with these hosts' services, made of contrib's template. It needs the plugin only to run it by itself."""
    certificates = icinga.place.folder / "data" / "certs"
    named = list(services)
    hosts = "".join(
        f'object Host {_literal(host)} {{ check_command = "dummy" }}\n' for host in sorted({h for h, _ in named})
    )
    objects = "".join(
        f"""
object Service {_literal(service)} {{
  import "jobmon-passive"
  host_name = {_literal(host)}
}}
"""
        for host, service in named
    )
    users = f"""
object ApiUser "client" {{
  client_cn = "{CLIENT}"
  permissions = [ "actions/process-check-result" ]
}}
object ApiUser "reader" {{
  password = "{PASSWORD}"
  permissions = [ "objects/query/*" ]
}}
"""
    configuration = Path(
        icinga.configuration(plugin.folder if plugin else icinga.place.folder, hosts + objects + users + more)
    )
    configuration.write_text(configuration.read_text().replace('NodeName = "master"', 'NodeName = "localhost"'))
    with icinga.place.daemon(*icinga.command("daemon", "-c", str(configuration))) as daemon:
        daemon.until(lambda: _answers(icinga), "the API answers")
        yield Api(icinga, daemon, certificates)


@pytest.fixture(scope="module")
def api(authority: Path, four_states: FourStates) -> Iterator[Api]:
    """With a passive service for each of the four databases. The tests that share it look only at what they have submitted."""
    services = [(database.name, "JOBMON") for database in four_states]
    with new_place() as place, running(certified_icinga(place, authority), services) as api:
        yield api


def credentials(folder: Path, user: str, password: str, mode: int = 0o600, host: str = "localhost") -> dict[str, str]:
    """An environment whose netrc file has this user and password."""
    path = folder / "netrc"
    path.write_text(f"machine {host} login {user} password {password}\n")
    path.chmod(mode)
    return {"NETRC": str(path)}


def test_icinga_shows_what_was_submitted_by_certificate_or_password(
    api: Api, four_states: FourStates, targets: Targets, tmp_path: Path
) -> None:
    file = targets({database.name: database.parameters for database in four_states})
    user = credentials(tmp_path, "test", PASSWORD)
    for options, environment in ((api.certificate, {}), ([], user)):
        output = api.submit(file, *api.ca, *options, **environment)
        assert output.first_line == (
            f"JOBMON OK - 4 results taken by {api.url} (1 critical, 1 warning, 1 unknown, 1 ok)"
        )
        assert (output.status, output.stderr) == (0, "")
    shown = api.services()
    for state, database in enumerate(four_states):
        service = shown[f"{database.name}!JOBMON"]
        result = service["last_check_result"]
        assert isinstance(result, dict)
        printed = database.check()
        assert service["state"] == result["state"] == state
        assert result["active"] is False
        lines = result["output"].splitlines()
        assert lines[0] == printed.first_line
        assert lines[1:11] == printed.long_output.splitlines()[:10]
        labels = [re.sub("=.*", "", figure) for figure in result["performance_data"] or []]
        assert labels[:7] == (
            ["critical", "warning", "ok", "query", "unknown", "silenced", "waiting"] if state < 3 else []
        )
        assert result["execution_start"] <= result["execution_end"]


def test_services_that_icinga_does_not_know_are_named_and_hinder_no_other(
    api: Api, four_states: FourStates, database: Database, targets: Targets
) -> None:
    hosts = {"unknown": database.parameters, 'un"known!x': database.parameters}
    file = targets({**hosts, four_states.ok.name: four_states.ok.parameters})
    before = time.time()
    output = api.submit(file, *api.ca, *api.certificate)
    assert output.first_line.startswith(f"JOBMON CRITICAL - 2 of 3 results not taken by {api.url}: ")
    assert output.long_output.splitlines() == [
        f"unknown!JOBMON: Icinga has no such service, or this ApiUser may not submit (404 No objects found.){WRITTEN}",
        'un"known!x!JOBMON: Icinga has no such service, or this ApiUser may not submit (404 No objects found.)'
        + WRITTEN,
    ]
    assert output.status == 2
    result = api.services()[f"{four_states.ok.name}!JOBMON"]["last_check_result"]
    assert isinstance(result, dict)
    assert (result["state"], result["execution_end"] > before) == (0, True)


def test_nothing_is_sent_to_an_icinga_that_is_not_verified(
    api: Api, four_states: FourStates, targets: Targets, tmp_path: Path
) -> None:
    file = targets({four_states.ok.name: four_states.ok.parameters})
    user = credentials(tmp_path, "test", PASSWORD)
    files = ["-keyout", str(tmp_path / "other.key"), "-out", str(tmp_path / "other.crt")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", *files]
    subprocess.run(command, check=True, capture_output=True)
    for options in (["--ca-cert", str(tmp_path / "other.crt")], []):
        output = api.submit(file, *options, **user)
        assert re.match(
            rf"JOBMON CRITICAL - the certificate of localhost:{api.icinga.port} can't be trusted: .*: see --ca-cert",
            output.stdout,
        )
        assert (output.status, output.stdout.count("\n"), output.stderr) == (2, 1, "")
    by_address = f"icinga:https://127.0.0.1:{api.icinga.port}"
    user = credentials(tmp_path, "test", PASSWORD, host="127.0.0.1")
    output = run_module("check_jobmon", "--targets", file, "--submit", by_address, *api.ca, **user)
    assert "can't be trusted: IP address mismatch" in output.stdout
    assert output.status == 2


def test_credentials_that_icinga_refuses_or_that_are_not_there(
    api: Api, four_states: FourStates, targets: Targets, tmp_path: Path
) -> None:
    file = targets({four_states.ok.name: four_states.ok.parameters, "other": four_states.ok.parameters})

    def said(*options: str, **environment: str) -> tuple[int, str]:
        output = api.submit(file, *api.ca, *options, **environment)
        assert "hunter2" not in output.stdout
        assert PASSWORD not in output.stdout
        assert (output.stdout.count("\n"), output.stderr) == (1, "")
        return output.status, output.stdout

    status, text = said(**credentials(tmp_path, "test", "hunter2"))
    assert status == 2
    assert text.startswith("JOBMON CRITICAL - Icinga lets nobody in with these credentials (401 ")
    output = api.submit(file, *api.ca, **credentials(tmp_path, "reader", PASSWORD))
    assert output.status == 2
    refused = f"!JOBMON: Icinga has no such service, or this ApiUser may not submit (404 No objects found.){WRITTEN}"
    assert output.long_output.splitlines() == [f"{four_states.ok.name}{refused}", f"other{refused}"]
    status, text = said(**credentials(tmp_path, "test", PASSWORD, mode=0o644))
    assert (status, text) == (3, f"JOBMON UNKNOWN - {tmp_path}/netrc can be read by others: chmod 600 it\n")
    status, text = said(**credentials(tmp_path, "test", "hunter2", host="elsewhere"))
    assert (status, 'has no user and password for "localhost"' in text) == (3, True)
    (tmp_path / "netrc").write_text("machine localhost hunter2 hunter2 hunter2\n")
    status, text = said(NETRC=str(tmp_path / "netrc"))
    assert (status, text) == (3, f"JOBMON UNKNOWN - {tmp_path}/netrc has a mistake in line 1\n")
    status, text = said(NETRC=str(tmp_path / "nosuch"))
    assert (status, "no --cert, and no user and password for Icinga: " in text) == (3, True)
    status, text = said("--cert", str(tmp_path / "nosuch"))
    assert (status, text) == (3, f"JOBMON UNKNOWN - --cert {tmp_path}/nosuch: No such file or directory\n")
    status, text = said("--cert", str(api.files / "client.crt"), "--key", str(api.files / "localhost.key"))
    assert (status, "not the certificate or the key that it should be" in text) == (3, True)
    status, text = said("--cert", str(api.files / "localhost.crt"), "--key", str(api.files / "localhost.key"))
    assert (status, "lets nobody in with these credentials" in text) == (2, True)


def test_the_services_that_jobmonctl_writes_get_the_result_of_each_job_whatever_its_name(
    icinga: Icinga, database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    file = targets({ODD_HOST: database.parameters})
    services = services_of_hostile_names(session, file)
    written = ctl("config", "services", "--icinga2", "--targets", file)
    assert (written.status, written.stderr) == (0, "")
    host = f'object Host {_literal(ODD_HOST)} {{ check_command = "dummy" }}\n'
    with running(icinga, [], host + written.stdout) as api:
        verified = icinga.place.run(*icinga.command("daemon", "-C", "-c", str(icinga.place.folder / "icinga2.conf")))
        assert (verified.status, f"{len(services)} Services" in verified.stdout) == (0, True), verified.stdout
        output = api.submit(file, *api.ca, *api.certificate, "--per-job")
        assert (output.status, output.stderr) == (0, ""), output.stdout
        shown = api.services()
        session.execute("INSERT INTO jobmon.job_check_config VALUES ('NEW; \"JOB', '1 h', '2 h', true, 0, '-infinity')")
        output = api.submit(file, *api.ca, *api.certificate, "--per-job")
    assert {name for name in shown if name.startswith(ODD_HOST)} == {f"{ODD_HOST}!{service}" for service in services}
    for service, expected in services.items():
        result = shown[f"{ODD_HOST}!{service}"]["last_check_result"]
        assert isinstance(result, dict)
        assert result["state"] == 2
        assert service == "JOBMON" or result["output"].splitlines()[0] == expected["output"].replace("|", "¦")
    new = clean(service_of("JOBMON", 'NEW; "JOB'))
    said = f"1 of {len(services) + 1} results not taken by {api.url}: {ODD_HOST}!{new}: Icinga has no such service, or"
    assert said in output.first_line
    assert output.first_line.endswith(WRITTEN)
    assert output.status == 2


def test_icinga_runs_the_check_of_many_and_submits_to_itself(
    icinga: Icinga, plugin: Plugin, four_states: FourStates, targets: Targets
) -> None:
    file = Path(targets({"a": four_states.ok.parameters, "b": four_states.critical.parameters}))
    copy = icinga.place.write("targets.yml", file.read_text())
    certificates = icinga.place.folder / "data" / "certs"
    service = f"""
object Host "monitor" {{ check_command = "dummy" }}
object Service "submitter" {{
  import "jobmon-service"
  host_name = "monitor"
  vars.jobmon_targets = "{copy}"
  vars.jobmon_submit = "icinga:https://localhost:{icinga.port}"
  vars.jobmon_ca_cert = "{certificates}/ca.crt"
  vars.jobmon_cert = "{certificates}/client.crt"
  vars.jobmon_key = "{certificates}/client.key"
  vars.jobmon_timeout = 40
}}
"""
    with running(icinga, [("a", "JOBMON"), ("b", "JOBMON")], service, plugin) as api:

        def states() -> dict[str, object]:
            """Of the results that the plugin gave, not of what Icinga says before there is one."""
            return {
                name: service["state"]
                for name, service in api.services().items()
                if "JOBMON" in str(service["last_check_result"])
            }

        check_at_once(icinga, 'service.name == "submitter"')
        api.daemon.until(lambda: len(states()) == 3, "three results")
        assert states() == {"monitor!submitter": 0, "a!JOBMON": 0, "b!JOBMON": 2}


def test_an_icinga_that_is_not_there(database: Database, targets: Targets, tmp_path: Path) -> None:
    file = targets({"db": database.parameters})
    user = credentials(tmp_path, "test", "hunter2")
    output = run_module("check_jobmon", "--targets", file, "--submit", "icinga:https://localhost:1", **user)
    assert re.fullmatch(
        r"JOBMON CRITICAL - localhost:1 can't be reached: .*Connection refused: see that Icinga runs there, with its api "
        r"feature\n",
        output.stdout,
    )
    assert output.status == 2


def test_without_the_http_client_it_is_said_what_to_install(database: Database, targets: Targets) -> None:
    code = "import sys; sys.modules['urllib3'] = None; from check_jobmon.plugin.cli import main; sys.exit(main(sys.argv[1:]))"
    options = ["--targets", targets({"db": database.parameters}), "--submit", "icinga:https://localhost:1"]
    done = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True, check=False)
    assert done.stdout == (
        "JOBMON UNKNOWN - the package urllib3 is not installed: pip install 'check_jobmon[icinga]', or python3-urllib3\n"
    )
    assert done.returncode == 3
