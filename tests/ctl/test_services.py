"""jobmonctl config services: what it writes, and what it leaves out. tests/system/ gives it to real daemons."""

import json
from pathlib import Path

import psycopg
import pytest

from tests.database import Database, run_module
from tests.plugin.targets.conftest import Targets, ctl
from tests.plugin.targets.conftest import targets as targets
from tests.plugin.test_cli import HOURLY, run_job

NAGIOS = """\
# written by: jobmonctl config services --nagios (3 services)

define service {
    use                     jobmon-passive
    host_name               db
    service_description     JOBMON
}

define service {
    use                     jobmon-passive
    host_name               db
    service_description     JOBMON ETL
}

define service {
    use                     jobmon-passive
    host_name               db
    service_description     JOBMON UP; DOWN
}
"""
ICINGA = """\
# written by: jobmonctl config services --icinga2 (2 services)

object Service "Jobs" {
  import "jobmon-passive"
  host_name = "d\\"b"
}

object Service "Jobs ETL" {
  import "jobmon-passive"
  host_name = "d\\"b"
}
"""


@pytest.fixture
def etl(session: psycopg.Connection) -> None:
    """One job that is configured, and has never run."""
    session.execute(HOURLY, ["ETL", 0])


@pytest.mark.usefixtures("etl")
def test_each_target_has_a_service_and_each_job_has_one_configured_or_not(
    database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    run_job(session, "up; down", "done")
    written = ctl("config", "services", "--nagios", "--targets", targets({"db": database.parameters}))
    name = written.stdout.split("service_description")[-1].strip().split("\n")[0].strip()
    assert written.stdout.replace(name, "JOBMON UP; DOWN") == NAGIOS
    assert (written.status, written.stderr) == (0, "")


@pytest.mark.usefixtures("etl")
def test_the_services_are_those_that_the_plugin_submits_to(
    database: Database, session: psycopg.Connection, empty_database: Database, targets: Targets
) -> None:
    for name in ("unconfigured", "o'brien", "a#12345678", "x" * 500):
        run_job(session, name, "done")
    session.execute("UPDATE jobmon.job_check_config SET active = false")
    session.execute("INSERT INTO jobmon.job_check_log VALUES (9999, 'ONLY FAILED', 3)")
    file = targets({"db": database.parameters, "again": database.parameters})
    told = json.loads(run_module("check_jobmon", "--targets", file, "--output", "json", "--per-job").stdout)
    written = ctl("config", "services", "--icinga2", "--targets", file, file).stdout
    blocks = [block.splitlines() for block in written.split("\n\n")[1:]]
    found = [(json.loads(b[2].split(" = ")[1]), json.loads(b[0][len("object Service ") : -2])) for b in blocks]
    assert len(found) == 2 * 7
    assert sorted(found) == sorted((result["target"], result["service"]) for result in told["results"])


@pytest.mark.usefixtures("etl")
def test_a_target_that_cannot_be_asked_or_named_is_told_and_the_others_are_written(
    database: Database, empty_database: Database, targets: Targets
) -> None:
    hosts = {"db;1": database.parameters, "gone": {"host": "/nonexistent"}, "empty": empty_database.parameters}
    file = targets({**hosts, "db": database.parameters})
    written = ctl("config", "services", "--nagios", "--targets", file)
    assert written.status == 1
    assert written.stdout.count("define service") == 2
    assert "host_name               db\n" in written.stdout
    no_host, gone, empty = written.stderr.splitlines()
    assert no_host == (
        "jobmonctl config services: db;1 is left out: Nagios allows no host with ';' in its name: rename the target"
    )
    assert gone.startswith("jobmonctl config services: gone is left out: ")
    assert empty.startswith("jobmonctl config services: empty is left out: no jobmon schema in database ")
    written = ctl("config", "services", "--icinga2", "--targets", file)
    assert (written.status, written.stdout.count("object Service"), written.stderr.count("\n")) == (1, 4, 2)


@pytest.mark.usefixtures("etl")
def test_the_file_is_replaced_once_it_is_complete_and_only_if_it_is_this_commands(
    database: Database, targets: Targets, tmp_path: Path
) -> None:
    file = targets({'d"b': database.parameters})
    path = tmp_path / "services.conf"
    command = ["config", "services", "--icinga2", "--service-name", "Jobs", "--targets", file, "-o", str(path)]
    for _ in range(2):
        done = ctl(*command)
        assert (done.status, done.stdout, done.stderr) == (0, "", "")
        assert path.read_text() == ICINGA
    (tmp_path / "targets.yml").write_text("hosts: {gone: {host: /nonexistent}}\n")
    assert ctl(*command).status == 1
    assert path.read_text() == ICINGA
    path.write_text("precious")
    done = ctl(*command)
    said = f"jobmonctl config services: {path} is there, and this command has not written it: name another file\n"
    assert (done.status, done.stdout, done.stderr) == (1, "", said)
    assert path.read_text() == "precious"
    targets({'d"b': database.parameters})
    done = ctl(*command[:-1], str(tmp_path / "nosuch" / "services.conf"))
    assert (done.status, done.stderr.endswith("services.conf can't be written: No such file or directory\n")) == (
        1,
        True,
    )


@pytest.mark.usefixtures("etl")
def test_one_database_needs_no_file(database: Database) -> None:
    written = run_module("check_jobmon.ctl", "config", "services", "--nagios", *database.options)
    assert written.stdout.count(f"host_name               {database.server.folder}\n") == 2
    assert (written.status, written.stderr) == (0, "")


def test_wrong_arguments_are_told_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "targets.yml"
    file.write_text("hosts: {db: {prot: 1}}\n")
    for options, said in (
        ([], "one of the arguments --nagios --icinga2 is required"),
        (["--nagios", "--targets", str(file), "-H", "db"], "--host is for one database, and --targets for many"),
        (["--nagios", "--service-name", "a;b"], "can't be the name of a service everywhere"),
    ):
        done = ctl("config", "services", *options)
        assert (done.status, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert said in done.stderr
    done = ctl("config", "services", "--nagios", "--targets", str(file))
    assert (done.status, f'{file}:1:14: unknown key "prot"' in done.stderr) == (1, True), done.stderr
    file.write_text("jobs: {}\n")
    done = ctl("config", "services", "--nagios", "--targets", str(file))
    said = f'jobmonctl config services: {file} has no targets: name them under "hosts:"\n'
    assert (done.status, done.stderr) == (1, said)
