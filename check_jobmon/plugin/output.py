"""The plugin's output format: the first line, its perfdata and the long output, cut to a number of bytes.

Source: the Monitoring Plugins Development Guidelines, "Plugin Output for Nagios".
"""

from collections.abc import Sequence

from check_jobmon.judging.result import Result

HEADROOM = 60
"""Bytes of the first line, enough for its counts. Perfdata and notice are left out if these would not fit beside them."""


def compose(result: Result, max_bytes: int, of: str = "jobs") -> str:
    """The whole output, ending in a newline, in at most max_bytes of UTF-8.

    A line or a text of perfdata that doesn't fit is left out as a whole, and the last line says how many were; `of` is the
    word there for what has the perfdata. The summary's perfdata is printed first, and then the others, sorted by label, so that
    graphs find each figure in its place.
    """
    first_line, long_output = barless(result.first_line), [barless(line) for line in result.long_output]
    perfdata = result.perfdata
    # measured part by part: the whole can be megabytes, of which kilobytes fit
    if _size(_join(first_line, perfdata[:1], [])) + _total(perfdata[1:]) + _total(long_output) <= max_bytes:
        return _join(first_line, perfdata, long_output)
    worst = _notice(len(long_output), len(perfdata[1:]), max_bytes, of)
    room = max_bytes - _size(_join(first_line, perfdata[:1], [worst]))
    if room < 0:
        return _shorten(first_line, perfdata[:1], [worst] if long_output or perfdata[1:] else [], max_bytes)
    # up to half for the long output, what remains for the perfdata, and what that leaves for more of the long output
    lines = _fitting(long_output, room // 2)
    jobs = _fitting(perfdata[1:], room - _total(long_output[:lines]))
    lines = _fitting(long_output, room - _total(perfdata[1 : jobs + 1]))
    left_out = _notice(len(long_output) - lines, len(perfdata[1:]) - jobs, max_bytes, of)
    return _join(first_line, perfdata[: jobs + 1], [*long_output[:lines], left_out])


def barless(text: str) -> str:
    """The text without `|`, which would be taken for the beginning of performance data."""
    return text.replace("|", "¦")


def bounded(text: str, max_bytes: int) -> str:
    """An output of which any part may be cut off, in at most max_bytes."""
    return _cut(text.removesuffix("\n"), max_bytes - 1) + "\n"


def _notice(lines: int, jobs: int, max_bytes: int, of: str) -> str:
    return f"left out (--max-output {max_bytes}): {lines} of the lines, perfdata of {jobs} of the {of}"


def _shorten(first_line: str, perfdata: Sequence[str], notice: Sequence[str], max_bytes: int) -> str:
    """The first line cut, with the summary's perfdata and the notice if these leave room for the first line's counts."""
    for kept, last in ((perfdata, notice), (perfdata, ()), ((), ())):
        room = max_bytes - _size(_join("", kept, last))
        if room >= HEADROOM or not kept:
            break
    return _join(_cut(first_line, room), kept, last)


def _join(first_line: str, perfdata: Sequence[str], long_output: Sequence[str]) -> str:
    figures = f" | {' '.join([*perfdata[:1], *sorted(perfdata[1:])])}" if perfdata else ""
    return "\n".join([first_line + figures, *long_output]) + "\n"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _total(texts: Sequence[str]) -> int:
    return sum(_size(text) + 1 for text in texts)


def _fitting(texts: Sequence[str], room: int) -> int:
    """How many of the texts fit into the room, each with a separator."""
    for number, text in enumerate(texts):
        room -= _size(text) + 1
        if room < 0:
            return number
    return len(texts)


def _cut(text: str, max_bytes: int) -> str:
    """The text in at most max_bytes; if it is cut, it ends in `…`."""
    data = text.encode("utf-8", "replace")
    if len(data) <= max_bytes:
        return text
    return data[: max_bytes - len("…".encode())].decode("utf-8", "ignore").rstrip() + "…"
