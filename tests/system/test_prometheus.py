"""Prometheus: takes the files in contrib/, scrapes the metrics through the node exporter, whatever the names are, and alerts."""

import contextlib
import http.server
import json
import re
import shlex
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.database import Database, Output
from tests.plugin.output.hostile import TEXTS
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.conftest import targets as targets
from tests.plugin.targets.test_checks import check
from tests.plugin.targets.test_openmetrics import Labels, parsed
from tests.plugin.test_cli import HOURLY, run_job
from tests.system.conftest import FourStates
from tests.system.daemons import CONTRIB, Daemon, Place, free_port, listens, program

FILES = CONTRIB / "prometheus"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def promtool(place: Place, *arguments: str) -> Output:
    """Run promtool."""
    return place.run(program("promtool", "prometheus"), *arguments)


@pytest.fixture
def copied(place: Place) -> Path:
    """The files of contrib/ where a site copies them."""
    for file in FILES.glob("*.yml"):
        place.write(file.name, file.read_text(encoding="utf-8"), 0o644)
    return place.folder


def test_promtool_takes_the_files_as_they_are_and_their_tests_pass(place: Place, copied: Path) -> None:
    for arguments in (("check", "config", "prometheus.yml"), ("test", "rules", "check_jobmon.rules.test.yml")):
        done = promtool(place, *arguments)
        assert (done.status, done.stderr) == (0, ""), done


def test_every_alert_has_a_test_that_would_find_a_mistake(place: Place, copied: Path) -> None:
    rules = (FILES / "check_jobmon.rules.yml").read_text(encoding="utf-8")
    alerts = re.findall(r"- alert: (\w+)\n +expr: (.+)\n", rules)
    assert len(alerts) == rules.count("alert: ")
    for name, expression in alerts:
        place.write("check_jobmon.rules.yml", rules.replace(f"expr: {expression}\n", "expr: vector(1) > 2\n"))
        assert f"alertname: {name}" in promtool(place, "test", "rules", "check_jobmon.rules.test.yml").stderr


def test_the_guide_lists_the_alerts() -> None:
    guide = (CONTRIB.parent / "docs" / "guides" / "prometheus.rst").read_text(encoding="utf-8")
    rules = (FILES / "check_jobmon.rules.yml").read_text(encoding="utf-8")
    severities = re.findall(r"- alert: (\w+)\n(?:.*\n)+? +severity: (\w+)", rules)
    assert severities == re.findall(r"^``(\w+)`` .* (critical|warning)$", guide, re.MULTILINE)


def test_cron_and_systemd_have_the_same_command_and_it_works(
    database: Database, session: psycopg.Connection, targets: Targets, tmp_path: Path
) -> None:
    run_job(session, "etl", "boom")
    (command,) = re.findall(r"^ExecStart=(.+)$", (FILES / "check_jobmon-metrics.service").read_text(), re.MULTILINE)
    cron = (FILES / "check_jobmon-metrics.cron").read_text(encoding="utf-8")
    assert re.findall(r"^\* \* \* \* \* +prometheus +(.+)\n", cron, re.MULTILINE) == [command]
    folder = "/var/lib/prometheus/node-exporter"
    assert f"\nReadWritePaths={folder}\n" in (FILES / "check_jobmon-metrics.service").read_text()
    there = command.replace(folder, str(tmp_path)).replace("/etc/check_jobmon.yml", targets({"a": database.parameters}))
    _, *arguments = shlex.split(there)
    assert check(*arguments) == Output(0, "", "")
    assert len(parsed((tmp_path / "jobmon.prom").read_text())["jobmon_job_state"]) == 1


@pytest.fixture
def hostile(database: Database, session: psycopg.Connection) -> Database:
    """A database with a job for each name that one can have; one has failed."""
    names = {text for text in TEXTS if "\0" not in text and text.encode("utf-8", "replace").decode() == text}
    session.cursor().executemany(HOURLY, [(name, 0) for name in [*names, "NIGHTLY 'ETL'"]])
    run_job(session, "nightly 'etl'", "boom")
    return database


@contextlib.contextmanager
def prometheus(place: Place, copied: Path, more: str = "") -> Iterator[tuple[Daemon, str]]:
    """Prometheus with contrib's configuration, the node exporter, and more to scrape, every second; and Prometheus's address."""
    port, exporter_port = free_port(), free_port()
    place.make("textfiles")
    place.make("data")
    text = (copied / "prometheus.yml").read_text().replace(": 1m", ": 1s")
    place.write("prometheus.yml", text.replace("localhost:9100", f"127.0.0.1:{exporter_port}") + more)
    exporter = (
        program("prometheus-node-exporter", "prometheus-node-exporter"),
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={place.folder}/textfiles",
        f"--web.listen-address=127.0.0.1:{exporter_port}",
    )
    server = (
        program("prometheus", "prometheus"),
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with place.daemon(*exporter) as first, place.daemon(*server) as daemon:
        first.until(lambda: listens(exporter_port), "the node exporter listens")
        daemon.until(lambda: _ready(f"http://127.0.0.1:{port}/-/ready"), "Prometheus is ready")
        yield daemon, f"http://127.0.0.1:{port}/api/v1"


def _ready(url: str) -> bool:
    """It listens a while before it answers anything but 503."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=60):
        return True
    return False


def asked(url: str, **parameters: str) -> Any:
    """What Prometheus's API answers."""
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=60) as answer:
        return json.load(answer)["data"]


def samples(api: str, query: str) -> dict[Labels, float]:
    """The values of a query by their labels, without those that Prometheus has added."""
    ours = ("job", "target") if query.startswith("jobmon_job_") else ("target",)
    found = asked(f"{api}/query", query=query)["result"]
    return {
        frozenset((name, text) for name, text in each["metric"].items() if name in ours): float(each["value"][1])
        for each in found
    }


@contextlib.contextmanager
def served(text: str) -> Iterator[int]:
    """The port of a server that serves the text as OpenMetrics, which Prometheus then reads by that format's rules alone."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", OPENMETRICS)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def test_all_metrics_arrive_through_the_exporter_as_they_are_and_the_alert_fires(
    hostile: Database, four_states: FourStates, targets: Targets, place: Place, copied: Path
) -> None:
    hosts = {"e\u202etl": hostile.parameters, 'a "b" \\': four_states.warning.parameters, "down": {"host": "/missing"}}
    output = check("--targets", targets(hosts), "--output", "openmetrics")
    assert output.status == 0
    place.write("metrics", output.stdout)
    linted = place.run("sh", "-c", f"{program('promtool', 'prometheus')} check metrics < metrics")
    assert linted == Output(0, "", "")
    metrics: Mapping[str, dict[Labels, float]] = parsed(output.stdout)
    with served(output.stdout) as port:
        other = f'  - {{job_name: strict, honor_labels: true, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}\n'
        with prometheus(place, copied, other) as (daemon, api):
            new = place.write("textfiles/new", output.stdout, 0o644)
            new.rename(place.folder / "textfiles" / "jobmon.prom")
            exporter = '{instance!="127.0.0.1:' + str(port) + '"}'
            strict = '{instance="127.0.0.1:' + str(port) + '"}'
            daemon.until(lambda: samples(api, f"jobmon_up{exporter}"), "the exporter's metrics are there")
            daemon.until(lambda: samples(api, f"jobmon_up{strict}"), "OpenMetrics is taken")
            for name, expected in metrics.items():
                assert samples(api, name + exporter) == expected
                assert samples(api, name + strict) == expected
            assert set(samples(api, "node_textfile_scrape_error").values()) == {0}
            metadata = asked(f"{api}/metadata")
            for name in metrics:
                unit = "seconds" if name.endswith("_seconds") else ""
                kinds = {(each["type"], each["unit"]) for each in metadata[name]}
                assert ("gauge", unit) in kinds <= {("gauge", unit), ("gauge", "")}

            def fire() -> dict[str, dict[str, Any]]:
                alerts = asked(f"{api}/alerts")["alerts"]
                firing = {a["labels"]["job"]: a for a in alerts if a["labels"]["alertname"] == "JobmonJobCritical"}
                done = len(firing) == sum(state == 2 for state in metrics["jobmon_job_state"].values())
                return firing if done and {a["state"] for a in firing.values()} == {"firing"} else {}

            firing = daemon.until(fire, "the alerts of all critical jobs fire")
            alert = firing["NIGHTLY 'ETL'"]
            assert alert["labels"]["severity"] == "critical"
            assert alert["annotations"]["description"] == "Failed 1 times in a row. check_jobmon says why."
            assert {a["annotations"]["description"] for a in firing.values() if a is not alert} == {
                "check_jobmon says why."
            }


def test_a_file_by_the_plugin_itself_is_read_and_a_target_that_comes_back_is_up(
    database: Database, session: psycopg.Connection, targets: Targets, place: Place, copied: Path
) -> None:
    run_job(session, "etl")
    with prometheus(place, copied) as (daemon, api):
        file = str(place.folder / "textfiles" / "jobmon.prom")
        for port, up in ((1, 0), (database.server.port, 1)):
            hosts = targets({"etl": {**database.parameters, "port": port}})
            assert check("--targets", hosts, "--output", "openmetrics", "-o", file) == Output(0, "", "")
            daemon.until(
                lambda up=up: samples(api, "jobmon_up") == {frozenset({("target", "etl")}): up},  # type: ignore[misc]
                f"jobmon_up is {up}",
            )
        daemon.until(
            lambda: samples(api, "jobmon_job_state") == {frozenset({("job", "ETL"), ("target", "etl")}): 0}, "ok"
        )


def test_of_a_target_in_two_files_the_exporter_reports_one_value(place: Place, copied: Path) -> None:
    with prometheus(place, copied) as (daemon, api):
        for name, value in (("one", 1), ("two", 0)):
            place.write(f"textfiles/{name}.prom", f'jobmon_up{{target="etl"}} {value}\n', 0o644)
        daemon.until(lambda: len(asked(f"{api}/query", query="jobmon_up")["result"]) == 1, "one value")
        assert set(samples(api, "node_textfile_scrape_error").values()) == {0}
