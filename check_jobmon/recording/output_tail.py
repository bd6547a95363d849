"""The last lines of a command's output, in bounded memory, as text that is harmless in the log and on a terminal."""

import re
from collections import deque

from check_jobmon.text import clean

LINES = 10
LINE_BYTES = 4000
MESSAGE_LENGTH = 2000
"""Characters of LINES lines or fewer; more lines may have as many more."""

# The sequences that colour text and move the cursor (ECMA-48: CSI, OSC, and the two-character ones).
_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


class Tail:
    """Keeps the last `number` lines of one or more streams. Lines of different streams are never mixed."""

    def __init__(self, number: int = LINES) -> None:
        self._number = number
        self._lines: deque[bytes] = deque(maxlen=number)
        self._partial: dict[int, bytes] = {}
        self._before: list[bytes] = []

    def precede(self, data: bytes) -> None:
        """Put output before all that was fed: that of a file, of which it isn't known when it was written."""
        self._before += [line[-LINE_BYTES:] for line in data.rsplit(b"\n", self._number + 1) if line.strip()]

    def feed(self, stream: int, data: bytes) -> None:
        """Add what a stream has just written."""
        # rsplit(): no more than the last lines of `data` are split off
        *lines, partial = (self._partial.get(stream, b"") + data).rsplit(b"\n", self._number + 1)
        if len(lines) > self._number:
            del lines[0]
        self._lines.extend(line[-LINE_BYTES:] for line in lines if line.strip())
        self._partial[stream] = partial[-LINE_BYTES:]

    def text(self) -> str:
        """The last lines, cut at the front if they are long.

        >>> tail = Tail()
        >>> tail.feed(1, b"10%\\r100%\\r\\n\\x1b[31mr")
        >>> tail.feed(2, b"caf\\xe9\\x07\\n")
        >>> tail.feed(1, b"ed\\x1b[0m")
        >>> tail.text()
        '100%\\ncaf\\\\xe9\\nred'
        """
        lines = [_visible(line) for line in (*self._before, *self._lines, *self._partial.values())]
        text = "\n".join([line for line in lines if line][-self._number :] if self._number else [])
        length = MESSAGE_LENGTH * max(self._number, LINES) // LINES
        return text if len(text) <= length else "…" + text[len(text) - length + 1 :]


def _visible(line: bytes) -> str:
    """What a terminal shows of the line in the end: without what a carriage return overwrote, and without escapes."""
    return clean(_ESCAPE.sub(b"", line).rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "surrogateescape"))
