"""jobmonctl extension: what may lie in the folder of the server's extensions, and what is left if a write fails."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from check_jobmon.schema.extension import FILES
from tests.ctl.prompt import refusal
from tests.database import Output, run_module


def install(folder: Path) -> Output:
    return run_module("check_jobmon.ctl", "extension", "--install", "--directory", str(folder))


@pytest.mark.parametrize("name", [*FILES, "pg_jobmon--1.0.sql"])
@pytest.mark.parametrize("kind", ["fifo", "device", "link", "loop", "folder"])
def test_what_is_no_file_of_ours_is_neither_read_for_ever_nor_written_through(
    tmp_path: Path, name: str, kind: str
) -> None:
    folder, other = tmp_path / "extension", tmp_path / "other"
    folder.mkdir()
    other.write_text("somebody else's\n")
    if kind == "fifo":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to({"device": "/dev/zero", "link": str(other), "loop": name}[kind])
    assert refusal(install(folder)) == (
        f"jobmonctl extension: {folder / name} is pg_jobmon's own, and stays: uninstall pg_jobmon first"
    )
    assert [file.name for file in folder.iterdir()] == [name]
    assert other.read_text() == "somebody else's\n"


def test_a_write_that_fails_leaves_nothing_and_can_be_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "extension"
    folder.mkdir()
    command = [sys.executable, "-B", "-m", "check_jobmon.ctl", "extension", "--install", "--directory", str(folder)]
    limited = ["sh", "-c", 'umask 077; ulimit -f 0; exec "$@"', "sh", *command]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (f"jobmonctl extension: File too large: {folder}: run this as a user who may write there\n")
    assert list(folder.iterdir()) == []
    subprocess.run(["sh", "-c", 'umask 077; exec "$@"', "sh", *command], capture_output=True, check=True)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert modes == dict.fromkeys(FILES, 0o644)
