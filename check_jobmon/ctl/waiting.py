"""Says on a terminal what a command waits for, once that takes longer than a second: a line on stderr, erased at the end."""

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator

from check_jobmon.text import clean, cut_to_columns

AFTER = 1.0
"""Seconds before the line is written, and between two updates of it."""
ERASE = "\r\x1b[K"
_blocks: list[object] = []


@contextlib.contextmanager
def waiting(what: Callable[[], str]) -> Iterator[None]:
    """Print what the block waits for, unless an outer block prints something already, or stderr is no terminal."""
    if _blocks or threading.current_thread() is not threading.main_thread():
        yield
        return
    with silently():
        if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
            yield
            return
        over = threading.Event()
        teller = threading.Thread(target=_tell, args=(what, over), daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()


@contextlib.contextmanager
def silently() -> Iterator[None]:
    """Within the block, waiting() prints nothing, because something else is on the screen."""
    _blocks.append(None)
    try:
        yield
    finally:
        _blocks.pop()


def _tell(what: Callable[[], str], over: threading.Event) -> None:
    started, said = time.monotonic(), False
    with contextlib.suppress(OSError):
        while not over.wait(AFTER):
            line = f"{clean(what())} ({time.monotonic() - started:.0f}s)"
            # not sys.stderr, whose lock a child process would inherit
            text = ERASE + cut_to_columns(line, shutil.get_terminal_size().columns - 1)
            os.write(2, text.encode(sys.stderr.encoding, "backslashreplace"))
            said = True
        if said:
            os.write(2, ERASE.encode())
