"""Prints tables on a terminal or into a pipe, with all texts made harmless. Only it looks whether rich is installed."""

import itertools
import json
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from check_jobmon.text import aligned, clean, columns, cut_to_columns

STYLES = {1: "green", 2: "yellow", 3: "bold red"}
"""By alert code."""
GAP = 2
"""Blanks between two columns."""
NAME = 40
"""To what names are cut before a column is left out. Shorter names are whole as long as there is a column to leave out."""
PROSE = 20
"""To what reasons and messages are cut before a column is left out."""
LITTLE = 8
"""To what all other columns are cut before names are cut further."""


@dataclass(frozen=True)
class Row:
    """The cells, and the alert code that gives their colour; None for no colour."""

    cells: Sequence[str]
    alert_code: int | None = None


@dataclass(frozen=True)
class Table:
    """What is printed under a `title`, and what becomes of its columns on a terminal that is too narrow for all of them.

    Cells of the columns in `cut` may be cut at their end, to that many columns of the terminal; those in `bars` are scaled.
    If that is not enough, the columns of the highest rank are left out first, those of rank 0 never. `right`: the columns
    that are aligned to the right.
    """

    columns: Sequence[str]
    rows: Sequence[Row]
    ranks: Sequence[int]
    cut: Mapping[str, int]
    bars: Collection[str] = ()
    right: Collection[str] = ()
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


def show(table: Table, wide: bool = False) -> None:
    """Print the table: on a terminal fitted to it unless `wide`, in colour if rich is installed; else whole."""
    narrow = sys.stdout.isatty() and not wide
    for line, style in lines(table, shutil.get_terminal_size().columns if narrow else 0):
        show_line(line, style)


def show_title(text: str, alert_code: int | None = None) -> None:
    """Print a line, in colour on a terminal with rich."""
    show_line(clean(text), STYLES.get(alert_code or 0, "bold"))


def show_line(line: str, style: str, on: Any = None) -> None:
    """Print a line of harmless text as it is, in a style of rich's if that is installed."""
    on = on or console()
    if on is None:
        print(line)
    else:
        from rich.text import Text

        on.print(Text(line, style=style), soft_wrap=True)


def rendered(made: Sequence[tuple[str, str]]) -> list[str]:
    """Lines with their styles as they are to be written on the terminal."""
    on = console()
    if on is None:
        return [line for line, _ in made]
    with on.capture() as captured:
        for line, style in made:
            show_line(line, style, on)
    return [str(line) for line in captured.get().split("\n")[: len(made)]]


def show_json(rows: Iterable[dict[str, Any]]) -> None:
    """Print a list of objects. Texts are as they are in the log: JSON's escapes keep them harmless."""
    # null for infinity and NaN, which Python writes and JSON doesn't have
    values = json.loads(json.dumps(list(rows)), parse_constant=lambda _: None)
    print(json.dumps(values, indent=2, allow_nan=False))


def lines(table: Table, width: int = 0) -> list[tuple[str, str]]:
    r"""The table's lines with their styles, each row in one of at most so many columns of a terminal (0: any number).

    >>> rows = (Row(("A\nB", "2s", "x|y")), Row(("LOAD", "10s", ""), 2))
    >>> made = Table(("JOB", "TOOK", "WHY"), rows, (0, 1, 0), {"WHY": 2}, right=("TOOK",))
    >>> lines(made)
    [('JOB   TOOK  WHY', 'bold'), ('A B     2s  x|y', ''), ('LOAD   10s', 'yellow')]
    >>> [line for line, _ in lines(made, 8)]
    ['JOB   W…', 'A B   x…', 'LOAD']
    """
    cells = [[*table.columns], *([clean(cell) for cell in row.cells] for row in table.rows)]
    widths = [max(map(columns, those)) for those in zip(*cells, strict=True)]
    room = _rooms(table, cells, widths, width) if width else dict(enumerate(widths))
    bars = {n for n, column in enumerate(table.columns) if column in table.bars}
    fitted = [[cut_to_columns(table.columns[n], w) for n, w in room.items()]]
    for row in cells[1:]:
        fit = (_scaled(row[n], widths[n], w) if n in bars else cut_to_columns(row[n], w) for n, w in room.items())
        fitted.append([*fit])
    right = {place for place, n in enumerate(room) if table.columns[n] in table.right}
    styles = ["bold", *(STYLES.get(row.alert_code or 0, "") for row in table.rows)]
    title = [(clean(table.title), "")] if table.title else []
    return [*title, *zip(aligned(fitted, right), styles, strict=True)]


def _rooms(table: Table, cells: Sequence[Sequence[str]], widths: Sequence[int], width: int) -> dict[int, int]:
    """The columns that are shown, by number, and how much of the terminal's width each gets."""
    # the time zone in a heading is cut before a column is left out
    bodies = [max(map(columns, (head.partition(" (")[0], *body))) for head, *body in zip(*cells, strict=True)]
    least = [table.cut.get(column, body) for column, body in zip(table.columns, bodies, strict=True)]
    room = {n: min(natural, least[n]) for n, natural in enumerate(widths)}

    def left() -> int:
        return width - sum(room.values()) - GAP * (len(room) - 1)

    while left() < 0:
        last = max(room, key=lambda n: table.ranks[n])
        if table.ranks[last]:
            del room[last]
        else:
            # a name is cut only if nothing else can be any longer
            cut = max(room, key=lambda n: (least[n] != NAME and room[n] > LITTLE, room[n]))
            if room[cut] == 1:
                break
            room[cut] -= 1
    for n in room:
        room[n] += max(0, min(left(), widths[n] - room[n]))
    return room


def _scaled(bar: str, natural: int, room: int) -> str:
    """A bar in fewer columns.

    >>> _scaled("xxxxxx", 8, 4), _scaled("..#.....", 8, 4)
    ('xxx', '.#..')
    """
    edges = [n * natural // room for n in range(room + 1)]
    # where a bar and dots fall into one column, the bar is shown: its characters sort before the dot
    return "".join(min(bar[a:b], default="") for a, b in itertools.pairwise(edges))
