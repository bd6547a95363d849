"""The plugin's output format: the first line, its perfdata and the long output, within so many bytes.

Source: the Monitoring Plugins Development Guidelines, "Plugin Output for Nagios".
"""

from collections.abc import Sequence


def compose(first_line: str, long_output: Sequence[str], perfdata: Sequence[str], max_bytes: int) -> str:
    """The whole output, ending in a newline, in at most so many bytes of UTF-8.

    `perfdata` is the summary's, then one text a job, those to keep first. What doesn't fit is left out whole, and the last
    line says how much. The summary stays first and the jobs go by label, so that graphs find each figure in its place.
    """
    full = _join(first_line, perfdata, long_output)
    if _size(full) <= max_bytes:
        return full
    notice = f"left out to stay within {max_bytes} bytes (--max-output): {{lines}} lines, perfdata of {{jobs}} jobs"
    room = max_bytes - _size(
        _join(first_line, perfdata[:1], [notice.format(lines=len(long_output), jobs=len(perfdata))])
    )
    if room < 0:
        return _cut(first_line, max_bytes - 1) + "\n"
    # half for the long output at first, what that leaves for the perfdata, and the rest for the long output again
    lines = _fitting(long_output, room // 2)
    jobs = _fitting(perfdata[1:], room - _total(long_output[:lines]))
    lines = _fitting(long_output, room - _total(perfdata[1 : jobs + 1]))
    left_out = notice.format(lines=len(long_output) - lines, jobs=max(len(perfdata) - 1 - jobs, 0))
    return _join(first_line, perfdata[: jobs + 1], [*long_output[:lines], left_out])


def _join(first_line: str, perfdata: Sequence[str], long_output: Sequence[str]) -> str:
    figures = f" | {' '.join([*perfdata[:1], *sorted(perfdata[1:])])}" if perfdata else ""
    return "\n".join([first_line + figures, *long_output]) + "\n"


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _total(texts: Sequence[str]) -> int:
    return sum(_size(text) + 1 for text in texts)


def _fitting(texts: Sequence[str], room: int) -> int:
    """How many of the texts fit, each with a separator."""
    for number, text in enumerate(texts):
        room -= _size(text) + 1
        if room < 0:
            return number
    return len(texts)


def _cut(text: str, max_bytes: int) -> str:
    return text.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")
