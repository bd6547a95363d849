"""The manuals that contrib/manuals/make.py writes: a page for each command with all of its options, and no mistakes in any."""

import subprocess
import sys
from pathlib import Path

import pytest

from check_jobmon.ctl import dispatch
from check_jobmon.plugin import cli
from tests.parsers import commands, leaves
from tests.system.daemons import SOURCES, program


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages."""
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, str(SOURCES / "contrib/manuals/make.py"), str(folder)], check=True)
    return folder


def test_there_is_a_page_for_each_command_with_all_of_its_options(folder: Path) -> None:
    pages = {page.name: page.read_text() for page in folder.iterdir()}
    assert {"check_jobmon.1", "jobmonctl.1", "jobs.yml.5"} < pages.keys()
    for path in commands():
        assert f"jobmonctl-{'-'.join(path)}.1" in pages
    for program_name, parser in (("check_jobmon", cli.command_line()), ("jobmonctl", dispatch.command_line())):
        for path, below in leaves(parser, program_name):
            page = pages[f"{'-'.join(path)}.1"].replace("\\-", "-")
            for action in below._actions:
                for name in action.option_strings if action.help != "==SUPPRESS==" else ():
                    assert f"\\fB{name}\\fR" in page, (path, name)


def test_mandoc_and_groff_have_nothing_to_say(folder: Path) -> None:
    pages = sorted(folder.iterdir())
    for command in (["mandoc", "-T", "lint", "-W", "warning"], ["groff", "-ww", "-t", "-man", "-Tutf8", "-z"]):
        # groff takes a request that one page leaves open for the next one's mistake, so each page has a run of its own
        for some in [pages] if command[0] == "mandoc" else [[page] for page in pages]:
            done = subprocess.run(
                [program(command[0], command[0]), *command[1:], *map(str, some)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), some
