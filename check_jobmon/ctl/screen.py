"""A terminal whose whole screen shows a table that changes, and that is as before once the program has ended or is stopped."""

import contextlib
import itertools
import os
import shutil
import signal
import sys
import termios
import threading
import tty
from types import FrameType
from typing import Any

from check_jobmon.ctl.table import Table, lines, rendered
from check_jobmon.plugin.deadline import write_all
from check_jobmon.text import columns

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""To the alternate screen, without a cursor, and back: xterm's control sequences, which all terminals have but the dumb ones."""
HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)


def usable() -> bool:
    """Whether standard output is a terminal that has a screen."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Screen:
    """The screen, from start() on to the end of its `with` block. The key q interrupts the main thread, as Ctrl-C does.

    `wide`: rows are folded.
    """

    def __init__(self, first: Table, wide: bool) -> None:
        self.table, self.wide = first, wide
        self._modes: list[Any] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Screen":
        return self  # start() does the rest, because __exit__() is called if that is interrupted

    def start(self) -> None:
        """Take the terminal, and show the first table."""
        if sys.stdin and sys.stdin.isatty():
            self._modes = termios.tcgetattr(0)
            threading.Thread(target=_read_keys, daemon=True).start()
        for number in (*ENDING, signal.SIGWINCH):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                self._before[number] = signal.signal(number, self._on_signal)
        self._enter()

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._leave()

    def show(self, table: Table) -> None:
        """Show this table from now on."""
        self.table = table
        self._draw()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGWINCH:
            self._leave()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            # stopped by Ctrl-Z, it goes on here
            signal.signal(number, self._on_signal)
            self._enter()
        else:
            self._draw()

    def _enter(self) -> None:
        if self._modes:
            tty.setcbreak(0)
        _write(ENTER)
        self._draw()

    def _leave(self) -> None:
        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
            _write(LEAVE)
            if self._modes:
                termios.tcsetattr(0, termios.TCSADRAIN, self._modes)

    def _draw(self) -> None:
        """In one write and without clearing first, so that nothing flickers."""
        width, height = shutil.get_terminal_size()
        made = [
            (piece, style)
            for line, style in lines(self.table, 0 if self.wide else width)
            for piece in _folded(line, width)
        ]
        if len(made) > height:
            made[height - 1 :] = [(f"… and {len(made) - height + 1} more lines"[:width], "")]
        shown = zip(rendered(made), made, strict=True)
        # behind a line as wide as the terminal, this would erase the last character
        text = "\r\n".join(line + (REST_OF_LINE if columns(bare) < width else "") for line, (bare, _) in shown)
        _write(HOME + text + (f"\r\n{REST_OF_SCREEN}" if len(made) < height else ""))


def _folded(line: str, width: int) -> list[str]:
    """The line in pieces of at most so many columns of the terminal.

    >>> _folded("夜間処理 ETL", 5)
    ['夜間', '処理 ', 'ETL']
    """
    pieces = []
    while columns(line) > width:
        end = max(1, sum(end <= width for end in itertools.accumulate(map(columns, line))))
        pieces.append(line[:end])
        line = line[end:]
    return [*pieces, line]


def _read_keys() -> None:
    with contextlib.suppress(OSError):
        while key := os.read(0, 1):
            if key in b"qQ":
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _write(text: str) -> None:
    # not sys.stdout: a signal may come while it writes
    write_all(1, text.encode(sys.stdout.encoding, "backslashreplace"))
