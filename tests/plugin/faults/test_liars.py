"""Servers that answer without end, or claim to: the check ends in time, in 200 MiB, and takes no result of others."""

import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest

from check_jobmon.plugin.targets.check_all import AT_ONCE
from tests.database import Database, Output
from tests.plugin.faults.liar import LIES, lying
from tests.plugin.faults.plugin import bounded
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.conftest import targets as targets

UNTIL_THE_DEADLINE = "no answer within 6s while (connecting|waiting for the check query) "
TOO_MUCH = "the answer doesn't fit into the 160 MiB of memory that a check may take: "
NO_POSTGRESQL = (
    '(connection to server at|database "etl" broke off the check: ).*: see that it is PostgreSQL that answers'
)


def _check(lie: str) -> Output:
    with lying(LIES[lie]) as port:
        return bounded("-H", "127.0.0.1", "-p", str(port), "-d", "etl", "-U", "x")


@pytest.fixture(scope="module")
def outputs() -> Iterator[dict[str, Future[Output]]]:
    """What the plugin says of each of them. Those that are waited for are waited for together."""
    with ThreadPoolExecutor(8) as threads:
        yield {lie: threads.submit(_check, lie) for lie in LIES}


@pytest.mark.parametrize("lie", LIES)
def test_a_liar_is_a_server_that_cannot_be_used(outputs: dict[str, Future[Output]], lie: str) -> None:
    output = outputs[lie].result()
    assert output.status == 2
    assert re.fullmatch(rf"JOBMON CRITICAL - ({UNTIL_THE_DEADLINE}|{TOO_MUCH}|{NO_POSTGRESQL}).*\n", output.stdout)


def test_a_liar_is_what_connection_error_says() -> None:
    with lying(LIES["endless results"]) as port:
        output = bounded("-H", "127.0.0.1", "-p", str(port), "--connection-error", "warning")
    assert output.status == 1
    assert output.stdout.startswith(f"JOBMON WARNING - {TOO_MUCH}")


def test_liars_take_nothing_from_the_other_targets(database: Database, targets: Targets) -> None:
    with ExitStack() as liars:
        ports = {name: liars.enter_context(lying(lie)) for name, lie in LIES.items()}
        liar = {name: {"host": "127.0.0.1", "port": port, "dbname": "etl"} for name, port in ports.items()}
        fine = {f"fine{number}": database.parameters for number in range(10)}
        output = bounded("--targets", targets({**liar, **fine}), "--max-output", "100000", timeout=8)
    lines = output.long_output.splitlines()
    assert output.status == 2
    assert [line.partition(": ")[0] for line in lines] == [f"CRITICAL {name}" for name in liar] + [
        f"OK {name}" for name in fine
    ]


def test_a_liar_that_keeps_what_it_took_leaves_enough_for_a_large_job_log(
    database: Database, session: psycopg.Connection, targets: Targets
) -> None:
    session.execute(
        "INSERT INTO jobmon.job_check_config"
        " SELECT repeat('X', 300) || i, '1 hour', '2 hours', true, 0, '-infinity' FROM generate_series(1, 5000) AS i"
    )
    with lying(LIES["100 MB of rows, and then silence"]) as port, socket.create_server(("127.0.0.1", 0)) as silent:
        # they keep the large one waiting until the liar has sent what it has
        places = [port, *[silent.getsockname()[1]] * (AT_ONCE - 1)]
        first = {f"liar{number}": {"host": "127.0.0.1", "port": place} for number, place in enumerate(places)}
        file = targets({**first, "large": database.parameters})
        output = bounded("--targets", file, "-v", "--max-output", "100000")
    lines = output.long_output.splitlines()
    assert any(line.startswith("CRITICAL large: 5000 critical, 0 ok: ") for line in lines)
    assert re.match(f"CRITICAL liar0: {TOO_MUCH}", lines[0])


LIMITS = """
import resource
from check_jobmon.plugin.deadline import within
limits = within(10, lambda write: write(str(resource.getrlimit(resource.RLIMIT_DATA)).encode()), lambda pipe: pipe.read())
print(limits.answer.decode())
print(resource.getrlimit(resource.RLIMIT_DATA))
"""


def _limits(soft: int, hard: int) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", LIMITS],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (soft, hard)),
        check=True,
    ).stdout.splitlines()


def test_the_limit_is_that_of_the_work_alone_and_a_lower_one_stays() -> None:
    endless, ours, lower = resource.RLIM_INFINITY, 160 * 2**20, 100 * 2**20
    assert _limits(endless, endless) == [f"({ours}, {endless})", f"({endless}, {endless})"]
    assert _limits(lower, endless) == [f"({lower}, {endless})"] * 2
    assert _limits(lower, lower) == [f"({lower}, {lower})"] * 2
