"""What is imported when: neither the single check nor the check of many pays for what it doesn't use."""

import os
import subprocess
import sys
from pathlib import Path

from tests.config.test_hosts import _TRACED
from tests.database import Database
from tests.plugin.targets.conftest import Targets

ONLY_FOR_MANY = {
    "check_jobmon.plugin.targets.processes",
    "check_jobmon.plugin.targets.async_session",
    "check_jobmon.plugin.targets.check_all",
    "check_jobmon.plugin.targets.report",
    "check_jobmon.plugin.targets.passive_results",
    "check_jobmon.plugin.targets.nagios",
    "check_jobmon.plugin.targets.icinga",
    "urllib3",
    "yaml",
}


def imported(tmp_path: Path, *options: str) -> set[str]:
    """The modules that a run of the plugin imports, in all its processes."""
    report = tmp_path / "imports"
    report.touch()
    subprocess.run(
        [sys.executable, "-c", _TRACED, str(report), *options, "-t", "30"],
        stdout=subprocess.DEVNULL,
        timeout=60,
        env={**os.environ, "HOME": str(tmp_path)},
        check=False,
    )
    return set(report.read_text().split())


def test_the_single_check_imports_nothing_that_only_many_need(database: Database, tmp_path: Path) -> None:
    modules = imported(tmp_path, *database.options)
    assert "check_jobmon.judging.check" in modules
    assert not modules & ONLY_FOR_MANY


def test_each_submission_imports_only_its_own(database: Database, tmp_path: Path, targets: Targets) -> None:
    file = targets({"db": database.parameters})
    submissions = {"check_jobmon.plugin.targets.nagios", "check_jobmon.plugin.targets.icinga", "urllib3", "ssl"}
    assert not imported(tmp_path, "--targets", file) & (submissions - {"ssl"})
    folder = tmp_path / "spool"
    folder.mkdir()
    modules = imported(tmp_path, "--targets", file, "--submit", f"nagios:{folder}")
    assert modules & (submissions - {"ssl"}) == {"check_jobmon.plugin.targets.nagios"}
