"""Prints tables on a terminal or into a pipe, with all texts made harmless. Only it looks whether rich is installed."""

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from check_jobmon.text import aligned, clean

STYLES = {1: "green", 2: "yellow", 3: "bold red"}
"""By alert code."""


@dataclass(frozen=True)
class Row:
    """The cells, and the alert code that gives their colour; None for no colour."""

    cells: Sequence[str]
    alert_code: int | None = None


@dataclass(frozen=True)
class Table:
    """`right` are the columns that are aligned to the right; these, and the columns in `whole`, are never wrapped."""

    columns: Sequence[str]
    rows: Sequence[Row]
    right: Collection[str] = ()
    whole: Collection[str] = ()
    title: str = ""


def console() -> Any:
    """A rich.console.Console, or None if rich is not installed or standard output is not a terminal."""
    if not sys.stdout.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(highlight=False)


def show(table: Table) -> None:
    """Print the table: in colour on a terminal with rich, else as plain text, aligned and uncut."""
    on = console()
    if on is None:
        print("\n".join(plain(table)))
    else:
        on.print(coloured(table))


def show_title(text: str, alert_code: int | None = None) -> None:
    """Print a line, in colour on a terminal with rich."""
    on = console()
    if on is None:
        print(clean(text))
    else:
        from rich.text import Text

        on.print(Text(clean(text), style=STYLES.get(alert_code or 0, "bold")))


def show_json(rows: Iterable[dict[str, Any]]) -> None:
    """Print a list of objects. Texts are as they are in the log: JSON's escapes keep them harmless."""
    # null for infinity and NaN, which Python writes and JSON doesn't have
    values = json.loads(json.dumps(list(rows)), parse_constant=lambda _: None)
    print(json.dumps(values, indent=2, allow_nan=False))


def plain(table: Table) -> list[str]:
    r"""The table's lines.

    >>> plain(Table(("JOB", "TOOK", "WHY"), (Row(("A\nB", "2s", "x|y")), Row(("LOAD", "10s", ""))), ("TOOK",)))
    ['JOB   TOOK  WHY', 'A B     2s  x|y', 'LOAD   10s']
    """
    rows = [table.columns, *([clean(cell) for cell in row.cells] for row in table.rows)]
    right = {place for place, column in enumerate(table.columns) if column in table.right}
    return [*([clean(table.title)] if table.title else []), *aligned(rows, right)]


def coloured(table: Table) -> Any:
    """The table as a rich.table.Table, which fits it to the terminal. Cells are never read as rich's markup."""
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
            no_wrap=column in table.right or column in table.whole,
            overflow="fold",
        )
    for row in table.rows:
        style = STYLES.get(row.alert_code or 0, "")
        made.add_row(*(Text(clean(cell), style=style) for cell in row.cells))
    return made
