"""What contributors are given: hooks that are what CI runs, forms for issues, and files that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.database import run_module
from tests.test_readme import PATH, ROOT

FORMS = sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml"))


def load(file: Path) -> Any:
    """A file of YAML."""
    return yaml.safe_load(file.read_text())


def test_the_hooks_of_pre_commit_are_the_commands_of_ci() -> None:
    function = re.search(r"^lint_and_types\(\) \{\n(.*?)^\}", (ROOT / ".ci/run").read_text(), re.M | re.S)
    assert function
    commands = re.findall(r'^ *"\$scratch/lint/bin/(\w+)"( .*)$', function[1], re.M)
    in_ci = [name + options.replace(" --python-executable .venv/bin/python", "") for name, options in commands]
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == [command for command in in_ci if "pip" not in command]
    for hook in repository["hooks"]:
        assert (hook["language"], hook["pass_filenames"]) == ("system", False)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_is_one_that_github_takes(form: Path) -> None:
    content = load(form)
    assert content.keys() == {"name", "description", "labels", "body"}
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert (
        len({field["id"] for field in fields}) == len({field["attributes"]["label"] for field in fields}) == len(fields)
    )
    assert {field["type"] for field in fields} <= {"input", "textarea"}
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_the_commands_that_a_report_asks_for_are_there() -> None:
    for page in ("SECURITY.md", "CONTRIBUTING.rst", ".github/ISSUE_TEMPLATE/bug.yml"):
        text = (ROOT / page).read_text()
        for link in [*PATH.findall(text), *re.findall(r"\]\((\S+)\)", text)]:
            assert (ROOT / link).exists(), f"{page}: {link}"
        for program, command, option in re.findall(r"(check_jobmon|jobmonctl)((?: [a-z]+)*)(?: (--?[a-z]+))?", text):
            module = {"check_jobmon": "check_jobmon", "jobmonctl": "check_jobmon.ctl"}[program]
            if command or option:
                assert re.search(
                    rf" {option}\b" if option else "usage", run_module(module, *command.split(), "--help").stdout
                )
