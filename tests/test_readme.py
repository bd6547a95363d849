"""README.rst says what the programs say."""

import textwrap
from pathlib import Path

from tests.database import run_module

README = (Path(__file__).parent.parent / "README.rst").read_text(encoding="utf-8")


def test_options_are_those_of_help() -> None:
    output = run_module("check_jobmon", "--help", COLUMNS="80")
    assert textwrap.indent(output.stdout, "    ") in README, "paste what check_jobmon --help prints into README.rst"


def test_lines_fit_the_width_of_the_code() -> None:
    too_long = [line for line in README.splitlines() if len(line) > 140 and not line.startswith("    JOBMON ")]
    assert not too_long
