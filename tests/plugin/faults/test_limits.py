"""A machine that gives too few files or processes: one line says so, in any case; and so does one for a bug."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from check_jobmon.plugin import cli
from check_jobmon.plugin.targets import check_all as checking
from tests.database import Database, run_module

ROOT = Path(__file__).parents[3]
ENOUGH = 40
"""Open files."""
ENOUGH_TO_LOAD = 9
"""The same, with which Python loads all modules."""


def limited(files: int, *arguments: str) -> tuple[int, str, str]:
    """The plugin with so many open files at most: its status, standard output and standard error."""
    command = ["check_jobmon", "-t", "20", *arguments]
    if files >= ENOUGH_TO_LOAD:
        output = run_module("tests.plugin.faults.few_files", str(files), *command)
        return output.status, output.stdout, output.stderr
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def targets_of(database: Database, folder: Path, count: int) -> str:
    """A file of so many targets that answer."""
    place = ", ".join(f"{name}: {text}" for name, text in database.parameters.items())
    file = folder / f"{count} targets.yml"
    file.write_text("hosts:\n" + "".join(f"  db{number}: {{{place}}}\n" for number in range(count)))
    return str(file)


@pytest.fixture
def hosts(database: Database, tmp_path: Path) -> str:
    """A file of thirty."""
    return targets_of(database, tmp_path, 30)


def test_too_few_files_are_told_in_one_line(database: Database, tmp_path: Path) -> None:
    """However few they are, as long as Python itself can start."""
    twelve = targets_of(database, tmp_path, 12)
    fine = set()
    for files in range(5, ENOUGH):
        runs = [(3, database.options), (6, ["--targets", twelve])]
        for arguments in (arguments for every, arguments in runs if files % every == 0 or files < 8):
            status, out, err = limited(files, *arguments)
            assert (out.count("\n") > 0, out.startswith("JOBMON "), err) == (True, True, ""), (files, status, out, err)
            assert not [text for text in ("a bug", "kernel") if text in out], (files, out)
            fine.add((status, arguments[0]))
            if status and arguments == database.options:
                assert "too many open files" in out.lower(), (files, out)
    assert {(0, "-H"), (3, "-H")} <= fine


def test_few_files_are_enough_for_many_targets(hosts: str) -> None:
    status, out, _ = limited(60, "--targets", hosts)
    assert (status, out.partition(":")[0]) == (0, "JOBMON OK - 30 ok"), out


def test_no_process_to_be_had_is_told_in_one_line(
    database: Database, hosts: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    for arguments in (database.options, ["--targets", hosts]):
        assert cli.main(arguments) == 3
        said = "Resource temporarily unavailable: this machine lets the check have too little"
        output = capfd.readouterr()
        assert output.out.startswith(f"JOBMON UNKNOWN - {said}")
        assert (output.out.count("\n"), output.err) == (1, "")


@pytest.mark.parametrize("verbose", [[], ["-vvv"]], ids=["plain", "vvv"])
def test_an_exception_among_many_targets_says_which(
    hosts: str, verbose: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(number: int) -> None:
        raise LookupError("no such thing")

    monkeypatch.setattr(checking, "_allow_files", broken)
    assert cli.main(["--targets", hosts, *verbose]) == 3
    output = capfd.readouterr()
    assert "30 unknown" in output.out
    assert "LookupError: no such thing (-vvv shows where)" in output.out
    assert "kernel" not in output.out
    assert ("in broken" in output.out) == bool(verbose)
