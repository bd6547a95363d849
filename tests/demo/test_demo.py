"""jobmonctl demo: what it prints is true, and nobody else on the machine gains anything from its server."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.database import Output, run_module
from tests.strangers import addresses, gains, postmaster


@dataclass(frozen=True)
class Demo:
    """A demo's server that goes on, and the commands that the demo printed for it."""

    folder: Path
    psql: str
    check: str
    stop: str


def _shell(command: str, folder: Path) -> Output:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=60, cwd=folder, env=environment, check=False
    )
    return Output(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """What `jobmonctl demo --keep` leaves behind. It is stopped by the command that it printed."""
    output = run_module("check_jobmon.ctl", "demo", "--keep")
    assert (output.status, output.stderr) == (0, "")
    found = re.search(r"^# PostgreSQL .* in (/.*)$", output.stdout, re.M)
    assert found
    demo = Demo(Path(found[1]), *output.stdout.splitlines()[-3:])
    yield demo
    stopped = _shell(demo.stop, tmp_path_factory.mktemp("mine"))
    assert (stopped.status, stopped.stderr, demo.folder.exists()) == (0, "", False)


def test_the_demos_report_has_its_jobs_and_their_past(tmp_path: Path) -> None:
    output = run_module("check_jobmon.ctl", "demo", "--report", str(tmp_path))
    assert (output.status, output.stderr) == (0, "")
    assert output.stdout.count("\nJOBMON CRITICAL - 2 critical, 4 warning, 2 ok: ") == 2
    page = (tmp_path / "jobs.html").read_text()
    assert page.count('class="missed"') > 3
    for name in ("NIGHTLY ETL", "CUBE", "PARTITION UPKEEP", "MONTHLY REPORT"):
        assert f"<bdi>{name}</bdi>" in page


def test_a_folder_that_isnt_there_is_told_by_the_demo(tmp_path: Path) -> None:
    output = run_module("check_jobmon.ctl", "demo", "--report", str(tmp_path / "nowhere"))
    assert output.status == 1
    assert (
        output.stderr == f"jobmonctl report: {tmp_path}/nowhere/jobs.html can't be written: No such file or directory\n"
    )


def test_no_other_user_gains_anything_from_the_demos_server(demo: Demo) -> None:
    assert gains(demo.folder) == []


def test_the_demos_server_listens_on_its_socket_only(demo: Demo) -> None:
    assert [host for host, _ in addresses(postmaster(demo.folder))] == [str(demo.folder)]


def test_the_printed_commands_work_in_a_folder_that_only_their_user_can_enter(demo: Demo, tmp_path: Path) -> None:
    assert tmp_path.stat().st_mode & 0o077 == 0
    shown = _shell(f"{demo.psql} -XAt -c 'SELECT count(*) FROM jobmon.job_check_config'", tmp_path)
    assert (shown.status, shown.stdout, shown.stderr) == (0, "8\n", "")
    checked = _shell(demo.check, tmp_path)
    assert (checked.status, checked.stderr) == (2, "")
    assert checked.stdout.startswith("JOBMON CRITICAL - ")
