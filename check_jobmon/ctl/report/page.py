"""Makes the page of what was collected: one file, whose policy lets nothing run or load but its own style and script."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import check_jobmon.ctl.report.drawing as drawing
from check_jobmon.ctl.connecting import CommandFailed
from check_jobmon.ctl.report.collecting import FEW, MANY, Log
from check_jobmon.ctl.run_queries import duration_text
from check_jobmon.judging.result import STATES
from check_jobmon.sql_files import text_file
from check_jobmon.text import clean, counted, cut, duration, title, without_zone

FEW_JOBS = 60
"""Up to so many jobs, each mark in their charts has a title."""


def templates() -> Any:
    """The templates, with autoescape. Raises CommandFailed if Jinja2 is not installed."""
    try:
        import jinja2
    except ImportError:
        raise CommandFailed(
            "Jinja2 is not installed: pip install 'check_jobmon[report]', or Debian's python3-jinja2"
        ) from None
    loader = jinja2.FunctionLoader(_text)
    made = jinja2.Environment(
        autoescape=True, loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {
        "clean": _clean,
        "title": title,
        "took": duration_text,
        "duration": duration,
        "time": without_zone,
        "unzoned": _unzoned,
        "cut": cut,
        "counted": counted,
    }
    return made


def page(made: Any, logs: Sequence[Log], seconds: float) -> bytes:
    """The page of these logs, at least one. `seconds` is how long the window is."""
    style, script = _text("style.css"), _text("script.js")
    crowded = sum(len(log.jobs) for log in logs) > FEW_JOBS
    slots = [slot.slots for log in logs for one in log.jobs for slot in one.slots[:1]]
    pieces = made.get_template("page.html.j2").generate(
        style=style,
        script=script,
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'",
        logs=logs,
        name=logs[0].host if len(logs) == 1 else counted(len(logs), "database"),
        seconds=seconds,
        slot=duration(seconds / min(slots, default=MANY)),
        thinned=FEW in slots,
        crowded=crowded,
        states=STATES,
        drawing=drawing,
    )
    return b"".join(piece.encode("utf-8", "backslashreplace") for piece in pieces)


def _text(name: str) -> str:
    return text_file(f"ctl/report/{name}")


def _clean(text: object, length: int = 0) -> str:
    """A text of others, made harmless; nothing for None."""
    return "" if text is None else clean(str(text), length)


def _unzoned(time: str) -> str:
    """A time whose last word is its zone, without it."""
    return time.rpartition(" ")[0]


def _hash(text: str) -> str:
    """How a policy names the style or script with this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
