"""The chart of jobmonctl history: the durations and states of a job's runs as bars. show.py has the command."""

import statistics

from check_jobmon.ctl.run_queries import Run, duration_text
from check_jobmon.ctl.table import Row, Table
from check_jobmon.text import heading, without_zone

WIDTH = 30
"""Columns of the longest bar."""


def chart(found: list[Run], zone: str) -> Table:
    """The runs as a table with bars, under a title that sums them up. `zone`: the time zone of their times."""
    longest = max((run.seconds or 0 for run in found), default=0)
    rows = [
        Row((str(run.job_id), without_zone(run.start_time), run.word, run.duration_text, _bar(run, longest)), run.code)
        for run in found
    ]
    columns = ("JOB_ID", heading("STARTED", zone), "STATUS", "TOOK", "DURATION")
    cut = {"DURATION": WIDTH // 2}
    return Table(columns, rows, (1, 0, 2, 0, 0), cut, ("DURATION",), ("JOB_ID", "TOOK"), _summary(found))


def _summary(found: list[Run]) -> str:
    words = [run.word for run in found]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    ended = [run.seconds for run in found if run.state == "ended" and run.seconds is not None]
    times = f"; median {duration_text(statistics.median(ended))}, longest {duration_text(max(ended))}" if ended else ""
    return f"{found[0].job_name}: {counts}{times}"


def _bar(run: Run, longest: float) -> str:
    if run.seconds is None:
        return ""
    sign = "+" if run.state != "ended" else "x" if (run.alert_code or 0) > 1 else "#"
    return sign * (max(1, round(run.seconds / longest * WIDTH)) if longest > 0 else 1)
