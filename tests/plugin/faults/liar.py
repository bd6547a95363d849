"""A server that lies: it speaks just enough of PostgreSQL's protocol to be asked, and then never ends.

Source of the messages: the manual of PostgreSQL, "Frontend/Backend Protocol".
"""

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

REFUSABLE = (80877103, 80877104)
"""The requests for SSL and for GSSAPI encryption."""


def message(kind: bytes, body: bytes = b"", claimed: int = 0) -> bytes:
    """A message, whose length may be said to be another."""
    return kind + struct.pack("!i", claimed or len(body) + 4) + body


def text(value: str) -> bytes:
    """A string as messages have it."""
    return value.encode() + b"\0"


GREETING = (
    message(b"R", struct.pack("!i", 0))
    + message(b"S", text("server_version") + text("15.0"))
    + message(b"S", text("server_encoding") + text("UTF8"))
    + message(b"S", text("client_encoding") + text("UTF8"))
    + message(b"K", struct.pack("!ii", 1, 1))
)
READY = message(b"Z", b"I")
DESCRIPTION = message(b"T", struct.pack("!h", 1) + text("x") + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0))
ROW = message(b"D", struct.pack("!hi", 1, 1000) + b"x" * 1000)
DONE = message(b"C", text("SELECT 1"))
NOTICE = message(b"N", b"S" + text("NOTICE") + b"M" + text("x" * 1000) + b"\0")
NOTIFICATION = message(b"A", struct.pack("!i", 1) + text("channel") + text("x" * 1000))
GIGABYTE = 2**30
ENDLESS = b"x" * 65536


def parameters() -> Iterator[bytes]:
    """Settings, each of another name."""
    for number in itertools.count():
        yield message(b"S", text(f"setting{number}") + text("x" * 1000))


class Lie(NamedTuple):
    """What is sent once the client has connected, and once it asks; the last piece again and again."""

    first: bytes
    answer: bytes = b""
    endless: Callable[[], Iterable[bytes]] = tuple


def _always(data: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: itertools.repeat(data * max(1, len(ENDLESS) // len(data)))


LOGGED_IN = GREETING + READY
LIES = {
    "an endless error before the login": Lie(message(b"E", claimed=0x40404040), endless=_always(ENDLESS)),
    "an endless challenge before the login": Lie(message(b"R", claimed=GIGABYTE), endless=_always(ENDLESS)),
    "endless settings at the login": Lie(GREETING, endless=parameters),
    "endless notices at the login": Lie(GREETING, endless=_always(NOTICE)),
    "an error of 1 GB at the login": Lie(GREETING + message(b"E", claimed=GIGABYTE), endless=_always(ENDLESS)),
    "endless rows": Lie(LOGGED_IN, DESCRIPTION, _always(ROW)),
    "endless results": Lie(LOGGED_IN, DESCRIPTION, _always(DESCRIPTION + DONE)),
    "100 MB of rows, and then silence": Lie(LOGGED_IN, DESCRIPTION, lambda: [ROW * 100] * 1000),
    "endless notices": Lie(LOGGED_IN, endless=_always(NOTICE)),
    "endless notifications": Lie(LOGGED_IN, endless=_always(NOTIFICATION)),
    "endless settings": Lie(LOGGED_IN, endless=parameters),
    "endless notices among rows": Lie(LOGGED_IN, DESCRIPTION, _always(ROW + NOTICE + NOTIFICATION)),
    "a row of 1 GB": Lie(LOGGED_IN, DESCRIPTION + message(b"D", claimed=GIGABYTE), _always(ENDLESS)),
    "a row of 90 MB": Lie(LOGGED_IN, DESCRIPTION + message(b"D", claimed=90_000_000), _always(ENDLESS)),
    "an error of 1 GB": Lie(LOGGED_IN, message(b"E", claimed=GIGABYTE), _always(ENDLESS)),
    "an error of 20 MB": Lie(LOGGED_IN, message(b"E", claimed=20_000_000) + b"SERROR\0M", _always(ENDLESS)),
    "a notice of 1 GB": Lie(LOGGED_IN, message(b"N", claimed=GIGABYTE), _always(ENDLESS)),
    "an endless COPY": Lie(LOGGED_IN, message(b"H", b"\0\0\0"), _always(message(b"d", b"x" * 1000))),
    "a row of a million fields": Lie(
        LOGGED_IN, DESCRIPTION + message(b"D", b"\x7f\xff" + b"\xff" * 4 * 32767), _always(ENDLESS)
    ),
}


@contextlib.contextmanager
def lying(lie: Lie) -> Iterator[int]:
    """A server that tells this lie to everybody; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, lie), daemon=True).start()
        yield listener.getsockname()[1]


def _serve(listener: socket.socket, lie: Lie) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_answer, args=(client, lie), daemon=True).start()


def _answer(client: socket.socket, lie: Lie) -> None:
    with client, contextlib.suppress(OSError, struct.error):
        while struct.unpack("!ii", client.recv(65536)[:8])[1] in REFUSABLE:
            client.sendall(b"N")
        client.sendall(lie.first)
        if lie.first.endswith(READY):
            client.recv(65536)
        client.sendall(lie.answer)
        for piece in lie.endless():
            client.sendall(piece)
        while client.recv(65536):
            pass
