"""Fixtures: a file of targets."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import four_states as four_states

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


def _text(value: object) -> str:
    """As YAML: JSON, but for characters beyond 16 bits, which it escapes in two halves."""
    return json.dumps(value, ensure_ascii=False)
