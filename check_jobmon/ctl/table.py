"""Tables on a terminal or in a pipe. The one place that knows whether rich is there, and that makes texts harmless."""

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from check_jobmon.text import clean, columns

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

STYLES = {1: "green", 2: "yellow", 3: "bold red"}
"""By alert code."""


@dataclass(frozen=True)
class Row:
    """The cells, and by `alert_code` the colour; None for none."""

    cells: tuple[str, ...]
    alert_code: int | None = None


@dataclass(frozen=True)
class Table:
    """`right` are the columns that are aligned to the right; they, and `whole`, are never broken into lines."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    right: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    title: str = ""


def console() -> "Console | None":
    """rich's, if it is installed and standard output is a terminal."""
    if not sys.stdout.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(highlight=False)


def show(table: Table) -> None:
    """Print the table: in colour where that can be, else plainly, aligned and uncut."""
    on = console()
    if on is None:
        print("\n".join(plain(table)))
    else:
        on.print(coloured(table))


def show_title(text: str, alert_code: int | None = None) -> None:
    """Print a line, in colour where that can be."""
    on = console()
    if on is None:
        print(clean(text))
    else:
        from rich.text import Text

        on.print(Text(clean(text), style=STYLES.get(alert_code or 0, "bold")))


def show_json(rows: Iterable[dict[str, Any]]) -> None:
    """Print a list of objects. Texts are as they are in the log; JSON's escapes keep them harmless. It has no infinity."""
    print(json.dumps(_finite(list(rows)), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    """The value with null for every number that is none."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(table: Table) -> list[str]:
    r"""The table's lines.

    >>> plain(Table(("JOB", "TOOK", "WHY"), (Row(("A\nB", "2s", "x|y")), Row(("LOAD", "10s", ""))), frozenset({"TOOK"})))
    ['JOB   TOOK  WHY', 'A B     2s  x¦y', 'LOAD   10s']
    """
    rows = [table.columns, *(tuple(clean(cell) for cell in row.cells) for row in table.rows)]
    widths = [max(columns(row[i]) for row in rows) for i in range(len(table.columns))]
    lines = [clean(table.title)] if table.title else []
    for row in rows:
        cells = []
        for column, cell, width in zip(table.columns, row, widths, strict=True):
            padding = " " * (width - columns(cell))
            cells.append(padding + cell if column in table.right else cell + padding)
        lines.append("  ".join(cells).rstrip())
    return lines


def coloured(table: Table) -> "RichTable":
    """The table for rich, which fits it to the terminal. Its markup is never looked for in a cell."""
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
        title=Text(clean(table.title)) if table.title else None,
        title_justify="left",
        title_style="none",
    )
    for column in table.columns:
        made.add_column(
            column,
            justify="right" if column in table.right else "left",
            no_wrap=column in table.right | table.whole,
            overflow="fold",
        )
    for row in table.rows:
        style = STYLES.get(row.alert_code or 0, "")
        made.add_row(*(Text(clean(cell), style=style) for cell in row.cells))
    return made
