"""Debian's own Python and its packages of nagiosplugin, psycopg and PyYAML: the plugin gives what it gives on ours."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.database import Database, Output
from tests.system.conftest import FourStates
from tests.system.daemons import DEBIAN_PYTHON, SOURCES


def _python(*arguments: str) -> Output:
    """Run Debian's Python with the source tree, and with nothing of a virtual environment or of libpq's variables."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("PG", "PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [DEBIAN_PYTHON, "-s", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        env={**inherited, "PYTHONPATH": str(SOURCES), "PYTHONWARNINGS": "error::DeprecationWarning"},
        check=False,
    )
    return Output(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    """Skips where Debian's packages are missing."""
    where = _python("-c", "import nagiosplugin, psycopg, yaml; print(nagiosplugin.__file__, psycopg.__file__)")
    if not Path(DEBIAN_PYTHON).exists() or where.status:
        pytest.skip(
            f"{DEBIAN_PYTHON} has not all of nagiosplugin, psycopg and yaml: "
            "apt-get install python3-nagiosplugin python3-psycopg python3-yaml, or run .ci/daemons"
        )
    assert where.stdout.count("/usr/lib/python3/dist-packages/") == 2, where


def _check(database: Database, *arguments: str) -> Output:
    return _python("-m", "check_jobmon", *database.options, *arguments)


def _timeless(text: str) -> str:
    """The text less the figures that differ from run to run: ages and the times that queries took."""
    return re.sub(r"\b\d+(\.\d+)?(s|m|h)\b|\s+", " ", text)


OK, WARNING, CRITICAL, UNKNOWN = range(4)


@pytest.mark.parametrize(
    ("verbosity", "states"),
    [
        ("", (OK, WARNING, CRITICAL, UNKNOWN)),
        ("-v", (WARNING, CRITICAL)),
        ("-vv", (CRITICAL, UNKNOWN)),
        ("-vvv", (OK, CRITICAL)),
    ],
    ids=["plain", "v", "vv", "vvv"],
)
def test_the_four_states_are_the_same(four_states: FourStates, verbosity: str, states: tuple[int, ...]) -> None:
    """CRITICAL, which has most to say, is compared in each verbosity, each other state without -v and in one of the others."""
    for state in states:
        database = list(four_states)[state]
        arguments = [*verbosity.split(), "--max-output", "1000000"]
        debian, ours = _check(database, *arguments), database.check(*arguments)
        assert (debian.status, debian.stderr) == (state, "")
        assert _timeless(debian.stdout) == _timeless(ours.stdout)


def test_the_defaults_bound_the_output(four_states: FourStates) -> None:
    output = _check(four_states.critical)
    assert output.status == 2
    assert 8000 < len(output.stdout.encode()) <= 8192


@pytest.mark.parametrize(
    ("arguments", "state", "words"),
    [
        (["-H", "127.0.0.1", "-p", "1"], 2, "port 1 failed: Connection refused"),
        (["-H", "127.0.0.1", "-p", "1", "--connection-error", "unknown"], 3, "port 1 failed: Connection refused"),
        (["-H", "/no/such/folder"], 2, "/no/such/folder"),
        (["-d", "no_such_database"], 2, 'database "no_such_database" does not exist'),
        (["-p", "0"], 3, "is not a port"),
        (["--schema", "nowhere"], 3, "no jobmon schema"),
        (["--version"], 3, "check_jobmon "),
    ],
)
def test_failures_are_the_same(four_states: FourStates, arguments: list[str], state: int, words: str) -> None:
    debian = _check(four_states.ok, *arguments)
    ours = four_states.ok.check(*arguments)
    assert (debian.status, debian.stderr) == (state, "")
    assert words in debian.stdout
    assert debian.stdout == ours.stdout


def test_a_host_without_an_address_is_named_in_the_words_of_either(four_states: FourStates) -> None:
    # libpq looks the name up for older versions of psycopg, newer ones do it themselves
    for output in (
        _check(four_states.ok, "-H", "no-such-host.invalid"),
        four_states.ok.check("-H", "no-such-host.invalid"),
    ):
        assert (output.status, output.stderr) == (2, "")
        assert re.fullmatch(
            "JOBMON CRITICAL - (could not translate host name|failed to resolve host) [\"']no-such-host.invalid[\"'].*"
            ": correct -H, or the resolver\n",
            output.stdout,
        )


def test_bootstrap_installs_a_schema_that_the_check_reads(empty_database: Database) -> None:
    assert _check(empty_database).status == 3
    done = _python("-m", "check_jobmon.ctl", "bootstrap", *empty_database.options)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("installed version ")
    assert _check(empty_database).status == 0
