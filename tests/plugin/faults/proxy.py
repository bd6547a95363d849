"""A TCP proxy in front of a real server, which holds back what passes from some bytes on."""

import contextlib
import socket
import threading
from collections.abc import Callable

from tests.database import Database


class Proxy:
    """Forwards connections on a port of its own to the database's server until it sees `marker`.

    `question` and `answer` are markers in what the plugin sends and in what the server does. The bytes up to an answer's
    marker still pass, a message with a question's doesn't. Then `held` is set, and nothing passes until `release` is.
    """

    def __init__(self, database: Database, question: bytes = b"", answer: bytes = b"") -> None:
        self.database = database
        self.question = question
        self.answer = answer
        self.held = threading.Event()
        self.release = threading.Event()
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def options(self) -> list[str]:
        """The plugin's options to connect through here."""
        port = self._listener.getsockname()[1]
        passfile = self.database.server.passfile
        return [*self.database.tcp_options, "-p", str(port), "--conninfo", f"passfile={passfile}"]

    def hang_up(self) -> None:
        """End all connections, as a firewall does that has lost its state."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.database.server.port))
                self._ends += [client, server]
                self._start(client, server, self._questions)
                self._start(server, client, self._answers)

    def _start(self, source: socket.socket, target: socket.socket, passing: Callable[..., None]) -> None:
        def forward() -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    passing(data, target)
            # whoever hangs up hangs up on the other, too
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=forward, daemon=True).start()

    def _questions(self, data: bytes, server: socket.socket) -> None:
        if self.question and self.question in data:
            self._hold()
        server.sendall(data)

    def _answers(self, data: bytes, client: socket.socket) -> None:
        if self.answer and self.answer in data:
            end = data.index(self.answer) + len(self.answer)
            client.sendall(data[:end])
            self._hold()
            data = data[end:]
        client.sendall(data)

    def _hold(self) -> None:
        self.held.set()
        self.release.wait(60)
