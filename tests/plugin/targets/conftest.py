"""Fixtures: a file of targets; and jobs of every kind of name."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.database import Output, run_module
from tests.plugin.output.hostile import TEXTS
from tests.system.conftest import four_states as four_states

ODD_HOST = "größer; 'b' \\\\ $c$ \"d\""
"""A name for a target that Icinga takes; Nagios doesn't."""
Targets = Callable[[Mapping[str, Mapping[str, Any]]], str]


@pytest.fixture
def targets(tmp_path: Path) -> Targets:
    """Writes a file of targets, of which each has libpq's parameters; gives its path."""

    def write(hosts: Mapping[str, Mapping[str, Any]]) -> str:
        path = tmp_path / "targets.yml"
        entries = [f"  {_text(name)}: {_text(dict(parameters))}" for name, parameters in hosts.items()]
        path.write_text("\n".join(["hosts:", *entries]) + "\n", encoding="utf-8")
        return str(path)

    return write


def ctl(*words: str) -> Output:
    """Run jobmonctl."""
    return run_module("check_jobmon.ctl", *words)


def _text(value: object) -> str:
    """As YAML: JSON, but for characters beyond 16 bits, which it escapes in two halves."""
    return json.dumps(value, ensure_ascii=False)


def services_of_hostile_names(session: psycopg.Connection, file: str) -> dict[str, dict[str, Any]]:
    """Configures a job for each name that one can have; gives by service what is known of each, of the file's one target."""
    names = {text.upper() for text in TEXTS if text.strip(" ") and "\0" not in text and len(text) <= 500}
    names |= {"N" * 499 + last for last in "!$;'\\é"}
    names = {name for name in names if name.encode("utf-8", "replace").decode() == name}
    session.cursor().executemany(
        "INSERT INTO jobmon.job_check_config VALUES (%s, '1 hour', '2 hours', true, 0, '-infinity')",
        [(name,) for name in names],
    )
    told = run_module("check_jobmon", "--targets", file, "--output", "json", "--per-job", "-t", "40")
    services = {result["service"]: result for result in json.loads(told.stdout)["results"]}
    assert len(services) == len(names) + 1
    return services
