"""Text for people and for the plugin's output: makes untrusted text harmless and durations short; perfdata labels."""

import itertools
import math
import re
import unicodedata
from collections.abc import Collection, Sequence

# Control, format (RTL marks), surrogate, private and unassigned characters, line and paragraph separators.
_UNSEEN = ("C", "Zl", "Zp")
_BLANKS = re.compile(r"\s+")
_ODD = re.compile("[^ -~]")  # only these are looked at one by one: texts can be long
_SURROGATE = re.compile("[\ud800-\udfff]")
LABEL_LENGTH = 60


def storable(value: object) -> str:
    r"""Any object as text that a database can store: its str(), with `\xNN` for a byte that is not UTF-8 and `\0` for NUL.

    Such bytes come as surrogates from the command line, the environment and file names (PEP 383); so does UTF-8 if
    Python was started with an encoding that can't represent it. Other surrogates are written as `\uNNNN`.

    >>> storable("caf\udce9, na\udcc3\udcafve, \ud800, \0"), storable(None)
    ('caf\\xe9, naïve, \\ud800, \\0', 'None')
    """
    try:
        text = str(value)
    except Exception as error:
        text = f"({type(value).__name__} whose str() raises {type(error).__name__})"
    text = re.sub("[\ud800-\udc7f\udd00-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
    return str.encode(text, "utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\0")


def unrepresented(message: str) -> str:
    r"""A message of Python's or a library's, in which repr() has written a byte that is not UTF-8 as `\udcNN`.

    >>> unrepresented(repr("caf\udce9"))
    "'caf\\xe9'"
    """
    return re.sub(r"\\udc([89a-f][0-9a-f])", r"\\x\1", message)


def clean(text: str, length: int = 0) -> str:
    """The text in one line, with nothing that could act on a terminal, cut to `length`. All else is as it was logged.

    >>> clean("duplicate key\\n  value |  <1> \\x1b[31mred")
    'duplicate key value |  <1> [31mred'
    """
    whole = not length or len(text) <= 4 * length  # more is not looked at: what comes can be megabytes
    if not whole:
        text = text[: 4 * length]
    if not (text.isascii() and text.isprintable()):
        text = _BLANKS.sub(_one_line, storable(text) if _SURROGATE.search(text) else text)
        text = _ODD.sub(_if_seen, text)
    text = text.strip()
    return cut(text if whole else text.ljust(length + 1), length)


def _one_line(blanks: re.Match[str]) -> str:
    """Blanks as they are, or one for them all if a line's end or a tab is among them."""
    return blanks[0] if all(unicodedata.category(c) == "Zs" for c in blanks[0]) else " "


def _if_seen(character: re.Match[str]) -> str:
    return "" if unicodedata.category(character[0]).startswith(_UNSEEN) else character[0]


def cut(text: str, length: int) -> str:
    """The text in at most so many characters, the last of which is `…` if there were more; whole if the length is 0.

    >>> cut("abcdef", 4), cut("abcd", 4)
    ('abc…', 'abcd')
    """
    return f"{text[: length - 1].rstrip()}…" if length and len(text) > length else text


def cut_to_columns(text: str, room: int) -> str:
    """As `cut`, in so many columns of a terminal.

    >>> cut_to_columns("ABCDEF", 4), cut_to_columns("夜間処理", 6), len(cut_to_columns("e\\u0301" * 9, 4))
    ('ABC…', '夜間…', 7)
    """
    if columns(text) <= room:
        return text
    ends = itertools.accumulate(map(columns, text))
    return f"{text[: sum(end < room for end in ends)].rstrip()}…"


def title(job_name: str, length: int = 100) -> str:
    """The job's name for people; a name of nothing that can be seen is shown as such.

    >>> title("NIGHTLY ETL"), title(" \\u200b")
    ('NIGHTLY ETL', '(blank name)')
    """
    return clean(job_name, length) or "(blank name)"


def columns(text: str) -> int:
    """How many columns of a terminal the text takes: East Asian and emoji characters two, combining ones none.

    The vowels and final consonants of Hangul are none of Unicode's combining characters, but they join the consonant before
    them, as in a file name of macOS.

    >>> columns("ETL"), columns("夜間"), columns("e\\u0301"), columns("\\u1112\\u1161\\u11ab")
    (3, 4, 1, 2)
    """
    return len(text) + sum(
        -1
        if unicodedata.category(c) in ("Mn", "Me") or "\u1160" <= c <= "\u11ff"
        else unicodedata.east_asian_width(c) in ("W", "F")
        for c in _ODD.findall(text)
    )


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """The rows of a table as lines with aligned columns; `right` are the columns, from 0, that are aligned to the right.

    >>> aligned([("JOB", "TOOK"), ("ETL", "2s"), ("夜間", "10s")], {1})
    ['JOB   TOOK', 'ETL     2s', '夜間   10s']
    """
    widths = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        spaces = [" " * (width - columns(cell)) for width, cell in zip(widths, row, strict=True)]
        cells = [s + cell if i in right else cell + s for i, (s, cell) in enumerate(zip(spaces, row, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def label(job_name: str) -> str:
    """The job's name as a perfdata label: the name itself where that is legal, else cleaned and with a hash to stay unique.

    Legal is what the Monitoring Plugins Development Guidelines allow (no `=`, no `'`), less what breaks graphing tools:
    among it `::`, which for Icinga 2 and PNP4Nagios starts a name for all labels after it.

    >>> label("NIGHTLY ETL")
    'NIGHTLY ETL'
    >>> label("A=B")
    'A_B~52b82c13'
    """
    legal = re.sub(r"[^\w .:/+#@-]", "_", clean(" ".join(job_name.split()), LABEL_LENGTH)).replace("::", "__")
    return unmistakable(legal, job_name)


def unmistakable(shown: str, name: str) -> str:
    """What is shown of a name, with a hash unless that is the name itself, so that no two names give the same text.

    >>> unmistakable("A=B", "A=B"), unmistakable("A_B", "A=B")
    ('A=B', 'A_B~52b82c13')
    """
    if shown and shown == name and not re.search(r"~[0-9a-f]{8}$", name):
        return shown
    import hashlib  # OpenSSL, for the few names that need it

    return f"{shown}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def duration(seconds: float, *, fraction: bool = False) -> str:
    """Seconds as a short duration: in minutes, hours or days from 1 min, 1 h or 3 d on; below ten of them, with the next unit.

    It is always rounded down. All durations that people read are written by this rule, but for those of the configuration
    file, which are written as they were configured.

    With `fraction`, hundredths of what is less than a second.

    >>> [duration(s) for s in (0.5, 59.9, 119, 3599, 3600, 5400, 93600, 273600, 2592000)]
    ['0s', '59s', '1m 59s', '59m', '1h', '1h 30m', '26h', '3d 4h', '30d']
    >>> duration(0.5, fraction=True)
    '0.50s'
    """
    if not math.isfinite(seconds):
        return "forever"
    if seconds < 0:
        return "-" + duration(-seconds, fraction=fraction)
    if fraction and 0.005 <= seconds < 1:
        return f"{seconds:.2f}s"
    whole = int(seconds)
    units = (
        (60, 1, "s", 1, ""),
        (3600, 60, "m", 1, "s"),
        (259200, 3600, "h", 60, "m"),
        (math.inf, 86400, "d", 3600, "h"),
    )
    _, size, unit, part_size, part_unit = next(row for row in units if whole < row[0])
    count, rest = divmod(whole, size)
    part = rest // part_size
    return f"{count}{unit} {part}{part_unit}" if part and count < 10 else f"{count}{unit}"


def without_zone(time: str) -> str:
    """A time as PostgreSQL has it, or ISO 8601, to the second and without its offset from UTC: the zone is shown once beside it.

    >>> [without_zone(t) for t in ("2024-02-29T01:02:03.456789+05:30", "0044-03-15 12:00:00-00:53:28 BC", "infinity")]
    ['2024-02-29 01:02:03', '0044-03-15 12:00:00 BC', 'infinity']
    """
    return re.sub(r"^(-?\d+-\d\d-\d\d)[T ]([\d:]{8})(\.\d+)? ?([+-][\d:]+)?", r"\1 \2", time)


def heading(column: str, zone: str) -> str:
    """A column's title that names the zone of the times in it, if it is known.

    >>> heading("STARTED", "Europe/Berlin")
    'STARTED (Europe/Berlin)'
    """
    return f"{column} ({zone})" if zone else column


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "time"), counted(1200, "time")
    ('1 time', '1200 times')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def as_many_as_fit(texts: Sequence[str], length: int, separator: str = ", ") -> str:
    """The texts in a row: the first, and others as long as they fit into that many characters; and how many more there are.

    >>> as_many_as_fit(["etl failed", "cube crashed", "import failed"], 25)
    'etl failed, cube crashed, and 1 more'
    """
    shown = ""
    for number, text in enumerate(texts):
        if number and len(shown) + len(text) > length:
            return f"{shown}{separator}and {len(texts) - number} more"
        shown += f"{separator}{text}" if number else text
    return shown
