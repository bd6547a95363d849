"""docs/tutorial.rst: its commands are run as they stand there, on a new server, and print what it says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from check_jobmon.demo.server import Server, wheel_binaries

TUTORIAL = Path(__file__).parent.parent / "docs" / "tutorial.rst"
VARYING = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"\(\w+(/\w+)*\)", "(ZONE)"),
    (r"\b\d+(\.\d+)?(ms|s)\b", "SECONDS"),
    (r"jobmon_link_\d+", "jobmon_link_NNN"),
    (r"pid \d+", "pid PID"),
    (r"(etl_owner|postgres) +\d+", r"\1 PID"),
    (r"[#x]+$", "BAR"),
    (r"[.#]{20}", "BAR"),
    (r" +", " "),
)
"""What is different in each run, and what stands for it."""


@pytest.fixture
def new_server() -> Iterator[Server]:
    """A server on which nobody has made a role or a database."""
    programs = os.environ.get("JOBMON_TEST_POSTGRES")
    server = Server(Path(programs) if programs else wheel_binaries(), {"fsync": "off"}, tcp=True)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.remove()


def examples(page: str) -> list[tuple[str, list[str]]]:
    """Each command in a page's text, with the lines that it is to print."""
    found: list[tuple[str, list[str]]] = []
    for line in page.splitlines():
        if line.startswith("    $ "):
            found.append((line.removeprefix("    $ "), []))
        elif line.startswith("    ") and found:
            found[-1][1].append(line.removeprefix("    "))
    return found


def alike(line: str) -> str:
    """The line without what is different in each run."""
    for pattern, word in VARYING:
        line = re.sub(pattern, word, line)
    return line.strip()


def lines(command: str, server: Server, folder: Path) -> list[str]:
    """What a command prints for the server's superuser, without empty lines, with `folder` as its home."""
    programs = [os.path.dirname(sys.executable), str(wheel_binaries()), os.environ["PATH"]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment |= {
        **{"PATH": os.pathsep.join(programs), "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": str(folder)},
        "XDG_STATE_HOME": str(folder),
        **{"PGHOST": str(server.folder), "PGPORT": str(server.port), "PGUSER": "postgres", "PGTZ": "UTC"},
    }
    done = subprocess.run(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=folder,
        timeout=60,
        check=False,
    )
    return [line for line in done.stdout.splitlines() if line]


def test_the_tutorial_s_commands_print_what_it_says(new_server: Server, tmp_path: Path) -> None:
    # from the installation of the job log on
    commands = examples(TUTORIAL.read_text(encoding="utf-8").partition("\nInstall the job log\n")[2])
    assert len(commands) > 25
    for command, expected in commands:
        printed = [alike(line) for line in lines(command.replace("/tmp/", f"{tmp_path}/"), new_server, tmp_path)]
        assert printed == [alike(line) for line in expected], f"change docs/tutorial.rst: {command}"
