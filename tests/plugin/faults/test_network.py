"""The way to the server: packets dropped, ports refused, names not resolved, and silence at any point."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.database import Database, Output, until, value
from tests.plugin.faults.plugin import MARGIN, TIMEOUT, WAITING, Running, alert, gone, locked, one_line, stopped
from tests.plugin.faults.proxy import Proxy

NO_ANSWER = f"no answer within {TIMEOUT}s while "
UNCONNECTED = (
    "see that the host is up, its name resolves, no firewall drops the packets, and the server there is not stopped"
)
SLOW = "look at the server's load and locks, or give more time with -t"


@contextlib.contextmanager
def dropping_port() -> Iterator[str]:
    """A port that drops packets to it, as Linux does where the queue of a listening socket is full."""
    with socket.socket() as listener, contextlib.ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield str(listener.getsockname()[1])


def test_host_that_drops_packets() -> None:
    with dropping_port() as port:
        output = alert("-H", "127.0.0.1", "-p", port)
    assert output == one_line(2, f"{NO_ANSWER}connecting (host 127.0.0.1): {UNCONNECTED}")


@pytest.mark.parametrize(("state", "status"), [("warning", 1), ("critical", 2), ("unknown", 3)])
def test_no_answer_is_what_connection_error_says(state: str, status: int) -> None:
    with dropping_port() as port:
        output = alert("-H", "127.0.0.1", "-p", port, "--connection-error", state)
    assert output == one_line(status, f"{NO_ANSWER}connecting (host 127.0.0.1): {UNCONNECTED}")


def test_refused_port() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        output = alert("-H", "127.0.0.1", "-p", str(port))
    assert re.fullmatch(
        rf'JOBMON CRITICAL - connection to server at "127.0.0.1", port {port} failed: Connection refused Is the server '
        r"running on that host and accepting TCP/IP connections\?: see that the server runs, and -H and -p\n",
        output.stdout,
    )
    assert output.status == 2


def test_socket_that_is_not_there(tmp_path: Path) -> None:
    output = alert("-H", str(tmp_path))
    assert re.fullmatch(
        r"JOBMON CRITICAL - connection to server on socket .* failed: No such file .*: "
        r"see that the server runs, and -H and -p\n",
        output.stdout,
    )
    assert output.status == 2


def test_server_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        output = alert("-H", "127.0.0.1", "-p", str(silent.getsockname()[1]), "-d", "etl")
    assert output == one_line(2, f"{NO_ANSWER}connecting (host 127.0.0.1, database etl): {UNCONNECTED}")


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n<html>|\r\n"], ids=["nothing", "HTTP"])
def test_something_that_is_no_postgresql_and_hangs_up(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(MARGIN)
        options = ["-H", "127.0.0.1", "-p", str(listener.getsockname()[1])]
        with Running(*options, PGSSLMODE="disable") as plugin:
            with listener.accept()[0] as connection:
                connection.sendall(greeting)
            output = plugin.output()
    assert (output.status, output.stdout.count("\n"), output.stderr) == (2, 1, "")
    assert re.match(r'JOBMON CRITICAL - connection to server at "127.0.0.1", port \d+ failed: ', output.stdout)
    assert not set("<>|") & set(output.stdout)


def test_postmaster_stopped_before_the_check(database: Database, session: psycopg.Connection) -> None:
    postmaster = int((database.server.data / "postmaster.pid").read_text().split()[0])
    with stopped(postmaster):
        output = alert(*database.options)
    where = f"host {database.server.folder}, database {database.name}"
    assert output == one_line(2, f"{NO_ANSWER}connecting ({where}): {UNCONNECTED}")
    gone(session)


def test_backend_stopped_while_the_check_waits_for_it(database: Database, session: psycopg.Connection) -> None:
    with locked(database, "job_log"), Running(*database.options) as plugin:
        until(lambda: value(session, WAITING))
        backend = value(session, "SELECT pid FROM pg_stat_activity WHERE application_name = 'check_jobmon'")
        with stopped(backend):
            output = plugin.output()
        where = f"host {database.server.folder}, database {database.name}"
        assert output == one_line(2, f"{NO_ANSWER}waiting for the check query ({where}): {SLOW}")
        gone(session)


@pytest.mark.parametrize("marker", [b"job_log", b"CUT SHORT"], ids=["first round trip", "second round trip"])
def test_silence_in_the_middle_of_a_result(database: Database, session: psycopg.Connection, marker: bytes) -> None:
    session.execute(
        "INSERT INTO jobmon.job_check_config VALUES ('CUT SHORT', '1 hour', '2 hours', true, 0, '-infinity')"
    )
    with Proxy(database, answer=marker) as proxy:
        output = alert(*proxy.options)
        assert proxy.held.is_set()
        gone(session)
    where = f"host 127.0.0.1, database {database.name}"
    assert output == one_line(2, f"{NO_ANSWER}waiting for the check query ({where}): {SLOW}")


def test_connection_lost_in_the_middle_of_a_result(database: Database, session: psycopg.Connection) -> None:
    session.execute(
        "INSERT INTO jobmon.job_check_config VALUES ('CUT SHORT', '1 hour', '2 hours', true, 0, '-infinity')"
    )
    with Proxy(database, answer=b"CUT SHORT") as proxy, Running(*proxy.options) as plugin:
        assert proxy.held.wait(TIMEOUT + MARGIN)
        proxy.hang_up()
        output = plugin.output()
    assert output.first_line.startswith(f'JOBMON CRITICAL - database "{database.name}" broke off the check: ')
    assert output.stdout.endswith(": see in the server's log why\n")
    assert (output.status, output.stdout.count("\n"), output.stderr) == (2, 1, "")
    gone(session)


def test_unknown_host() -> None:
    output = alert("-H", "no-such-host.invalid")
    assert output.stdout.startswith("JOBMON CRITICAL - ")
    assert "no-such-host.invalid" in output.stdout
    assert output.stdout.endswith(": correct -H, or the resolver\n")
    assert (output.status, output.stdout.count("\n")) == (2, 1)


SILENT_RESOLVER = """\
import fcntl, os, socket, struct, subprocess, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: IFF_UP and IFF_RUNNING
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))
for name, text in (("resolv.conf", "nameserver 127.0.0.1\\noptions timeout:30"), ("nsswitch.conf", "hosts: dns")):
    with open(name, "w") as file:
        print(text, file=file)
    subprocess.run(["mount", "--bind", name, os.path.realpath(f"/etc/{name}")], check=True)
done = subprocess.run(sys.argv[1:], cwd=os.environ["ROOT"], capture_output=True)
silent.setblocking(False)
assert silent.recv(512)
sys.stdout.buffer.write(done.stdout)
sys.stderr.buffer.write(done.stderr)
sys.exit(done.returncode)
"""


def beside_a_silent_resolver(check: list[str], folder: Path, **environment: str) -> Output:
    """Run a command where no name is ever resolved; skips where that can't be arranged."""
    # In namespaces of its own for mounts and for the network, which any user may have where the kernel lets them.
    namespaces = ["unshare", "--mount", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*namespaces, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root, or a kernel that lets any user make namespaces")
    done = subprocess.run(
        [*namespaces, sys.executable, "-c", SILENT_RESOLVER, *check],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "ROOT": str(Path(__file__).parents[3]), **environment},
        check=False,
    )
    return Output(done.returncode, done.stdout, done.stderr)


def test_resolver_that_never_answers(tmp_path: Path) -> None:
    check = [sys.executable, "-m", "check_jobmon", "-H", "db.example.com", "-t", str(TIMEOUT)]
    output = beside_a_silent_resolver(check, tmp_path)
    assert output == one_line(2, f"{NO_ANSWER}connecting (host db.example.com): {UNCONNECTED}")
