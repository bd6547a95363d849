"""--submit icinga: servers that are not Icinga, or don't answer. Without Icinga itself."""

import contextlib
import gzip
import http.server
import itertools
import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.database import Database, Output
from tests.plugin.faults.plugin import bounded
from tests.plugin.targets.conftest import Targets
from tests.plugin.targets.test_checks import check

SECRET = "hunter2"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that signs itself; its key is beside it."""
    return _certificate(tmp_path_factory.mktemp("certificate"))


def _certificate(folder: Path) -> Path:
    path = folder / "server.crt"
    files = ["-keyout", str(path.with_suffix(".key")), "-out", str(path)]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", *key, "-nodes", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    return path


class _Handler(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted and gives the server's answer."""

    protocol_version = "HTTP/1.1"
    server: "Imposter"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, self.headers["Authorization"] or "", json.loads(body)))
        status, headers, answer = self.server.answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Imposter(http.server.ThreadingHTTPServer):
    """Takes HTTPS requests and gives always the same answer."""

    def __init__(self, certificate: Path, answer: tuple[int, dict[str, str], bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests: list[tuple[str, str, dict[str, object]]] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self.socket = context.wrap_socket(self.socket, server_side=True)


@contextlib.contextmanager
def serving(certificate: Path, status: int, answer: bytes, **headers: str) -> Iterator[Imposter]:
    """An imposter that runs."""
    with Imposter(certificate, (status, headers, answer)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def submitted(port: int, file: str, folder: Path, *options: str, timeout: float = 30) -> Output:
    """Submit there with a user and a password, which must not be repeated."""
    netrc = folder / "netrc"
    netrc.write_text(f"machine localhost login me password {SECRET}\n")
    netrc.chmod(0o600)
    to = f"icinga:https://localhost:{port}"
    output = check("--targets", file, "--submit", to, *options, timeout=timeout, NETRC=str(netrc))
    assert SECRET not in output.stdout
    return output


def test_what_is_posted(database: Database, targets: Targets, tmp_path: Path, certificate: Path) -> None:
    file = targets({"db": database.parameters})
    with serving(certificate, 200, b'{"results":[{"code":200.0,"status":"Successfully processed"}]}') as server:
        output = submitted(server.server_port, file, tmp_path, "--ca-cert", str(certificate))
    assert output.status == 0
    ((path, authorization, body),) = server.requests
    assert (path, authorization) == ("/v1/actions/process-check-result", "Basic bWU6aHVudGVyMg==")
    assert {"type": "Service", "service": "db!JOBMON", "exit_status": 0}.items() <= body.items()
    assert body["plugin_output"] == "JOBMON OK - All jobs run successfully: none is configured, and none failed"
    assert re.fullmatch(
        r"critical=0 warning=0 ok=0 query=[\d.]+s;;;0 unknown=0 silenced=0 waiting=0", str(body["performance_data"])
    )


ANSWERS = [
    (200, b"<html>Welcome", {}, "Icinga refused it (200 an answer that is not Icinga's): see its log"),
    (200, b'{"results":[]}', {}, "Icinga refused it (200 an answer that is not Icinga's): see its log"),
    (200, b'{"results":[{"code":409,"status":"Busy"}]}', {}, "Icinga refused it (200 Busy): see its log"),
    (
        302,
        b"",
        {"Location": "https://localhost:1/"},
        "Icinga refused it (302 an answer that is not Icinga's): see its log",
    ),
    (500, b"<html>", {}, "Icinga refused it (500 an answer that is not Icinga's): see its log"),
    (500, b'{"results":[{"code":500,"status":"a | b\\n"}]}', {}, "Icinga refused it (500 a ¦ b): see its log"),
    (503, b'{"error":503,"status":"Shutting down"}', {}, "Icinga refused it (503 Shutting down): see its log"),
    (
        404,
        b"[]",
        {},
        "Icinga has no such service, or this ApiUser may not submit (404 an answer that is not Icinga's): "
        "jobmonctl config services writes its definition",
    ),
]


@pytest.mark.parametrize(("status", "answer", "headers", "reason"), ANSWERS)
def test_answers_that_are_no_success_are_told_for_each(
    database: Database,
    targets: Targets,
    tmp_path: Path,
    certificate: Path,
    status: int,
    answer: bytes,
    headers: dict[str, str],
    reason: str,
) -> None:
    file = targets({"a": database.parameters, "b": database.parameters})
    with serving(certificate, status, answer, **headers) as server:
        output = submitted(server.server_port, file, tmp_path, "--ca-cert", str(certificate))
    assert output.long_output.splitlines() == [f"a!JOBMON: {reason}", f"b!JOBMON: {reason}"]
    assert output.status == 2
    assert len(server.requests) == 2


def test_nothing_is_posted_to_whom_is_not_trusted(
    database: Database, targets: Targets, tmp_path: Path, certificate: Path
) -> None:
    with serving(certificate, 200, b"{}") as server:
        output = submitted(server.server_port, targets({"db": database.parameters}), tmp_path)
    assert re.match(
        r"JOBMON CRITICAL - the certificate of localhost:\d+ can't be trusted: self-?\s?signed", output.stdout
    )
    assert (output.status, server.requests) == (2, [])


def test_a_server_that_never_answers_is_given_up_at_the_deadline(
    database: Database, targets: Targets, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        output = submitted(silent.getsockname()[1], targets({"db": database.parameters}), tmp_path, timeout=4)
    assert re.match(
        r"JOBMON CRITICAL - (localhost:\d+ can't be reached: .*timed out|not taken within 4s: )", output.stdout
    )
    assert output.status == 2


def test_a_server_that_speaks_no_tls(database: Database, targets: Targets, tmp_path: Path) -> None:
    file = targets({"db": database.parameters})
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            client.recv(65536)
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            client.close()

        thread = threading.Thread(target=answer)
        thread.start()
        output = submitted(server.getsockname()[1], file, tmp_path)
        thread.join()
    assert re.match(r"JOBMON CRITICAL - no TLS with localhost:\d+: .*wrong version number", output.stdout, re.I)
    assert output.status == 2


def _endless(first: bytes, piece: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: itertools.chain([first], itertools.repeat(piece * (65536 // len(piece))))


def _paced(first: bytes, piece: bytes) -> Callable[[], Iterable[bytes]]:
    """The same for what is read to the deadline: a hundred times a second, or both sides would compute all the time."""

    def pieces() -> Iterator[bytes]:
        for some in _endless(first, piece)():
            yield some
            time.sleep(0.01)

    return pieces


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
BOMB = gzip.compress(bytes(10**7))
LIES: dict[str, Callable[[], Iterable[bytes]]] = {
    "a gzip bomb": lambda: [GZIP % (100 * len(BOMB)), BOMB * 100],
    "an endless gzip bomb": _endless(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", BOMB),
    "an endless body": _endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "a body of 100 GB": _endless(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n", b"x"),
    "endless chunks": _endless(CHUNKED, b"3e8\r\n" + b"x" * 1000 + b"\r\n"),
    "a chunk of 100 GB": _endless(CHUNKED + b"174876E800\r\n", b"x"),
    "an endless size of a chunk": _endless(CHUNKED, b"0"),
    "endless trailers": _paced(CHUNKED + b"0\r\n", b"X: " + b"x" * 1000 + b"\r\n"),
    "endless headers": _endless(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
    "an endless header": _endless(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "an endless status": _endless(b"", b"x"),
    "an endless announcement of an answer": _paced(b"", b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 1000 + b"\r\n\r\n"),
    "lists in lists": lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", b"[" * 90000],
    "a code that is too large": lambda: [
        b'HTTP/1.1 200 OK\r\nContent-Length: 449\r\n\r\n{"results":[{"code":'
        + b"9" * 400
        + b',"status":"Busy at the moment"}]}'
    ],
}


@contextlib.contextmanager
def lying(certificate: Path, lie: Callable[[], Iterable[bytes]]) -> Iterator[int]:
    """A server that gives everybody this answer; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    def answer(client: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as secured:
            secured.recv(65536)
            for piece in lie():
                secured.sendall(piece)
            secured.recv(65536)

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def test_an_answer_without_end_is_none(tmp_path: Path, certificate: Path) -> None:
    """All in one test, because those that are waited for are waited for together."""
    folder = tmp_path
    (folder / "netrc").write_text(f"machine localhost login me password {SECRET}\n")
    (folder / "netrc").chmod(0o600)
    # whose checks need no server
    (folder / "targets.yml").write_text("hosts: {a: {host: 127.0.0.1, port: 1}, b: {host: 127.0.0.1, port: 1}}\n")

    def check(lie: str) -> Output:
        with lying(certificate, LIES[lie]) as port:
            to = ["--submit", f"icinga:https://localhost:{port}", "--ca-cert", str(certificate)]
            return bounded("--targets", str(folder / "targets.yml"), *to, NETRC=str(folder / "netrc"))

    with ThreadPoolExecutor(4) as threads:
        told = {lie: threads.submit(check, lie) for lie in LIES}
    reason = r"Icinga refused it \(200 an answer that is not Icinga's\): see its log"
    unread = r"JOBMON CRITICAL - (localhost:\d+ can't be reached: .*|not taken within 6s: .*)"
    for lie, asked in told.items():
        output = asked.result()
        assert output.status == 2, lie
        assert re.fullmatch(f"(a|b)!JOBMON: {reason}\n(a|b)!JOBMON: {reason}|", output.long_output), lie
        assert output.long_output or re.fullmatch(unread, output.first_line), lie
