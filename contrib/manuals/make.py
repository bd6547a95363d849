#!/usr/bin/python3
"""Write the manuals, from the programs' own parsers and the page on the configuration file: `make.py FOLDER`.

check_jobmon(1), jobmonctl(1), a page for each of its commands, and jobs.yml(5). Needs docutils besides what the programs need.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from check_jobmon import __version__  # noqa: E402
from check_jobmon.ctl import dispatch  # noqa: E402
from check_jobmon.plugin import cli  # noqa: E402

DATE = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
FILES = {"docs/reference/configuration-file.rst": ("jobs.yml", "thresholds of jobs, and names for databases")}


def escaped(text: str) -> str:
    """For roff: no line is taken for a request, and each hyphen can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return re.sub(r"^\.", "\\&.", text, flags=re.M)


def page(name: str, section: int, summary: str, body: Iterator[str]) -> str:
    """A manual with its head."""
    head = f'.TH "{escaped(name.upper())}" {section} "{DATE}" "check_jobmon {__version__}"\n.nh\n.ad l\n.SH NAME\n'
    # without hyphenation, which makes nonsense of options and file names
    return f'.\\" made by contrib/manuals/make.py\n{head}{escaped(name)} \\- {escaped(summary)}\n' + tight(
        "".join(body)
    )


def tight(text: str) -> str:
    """Without the paragraphs' heads right after sections' heads, which mean nothing there."""
    return re.sub(r"(?m)^(\.SH .*\n)\.(PP|sp)\n", r"\1", text)


def of_parser(parser: argparse.ArgumentParser, see: list[str]) -> Iterator[str]:
    """What --help says, section by section."""
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    yield ".SH SYNOPSIS\n"
    lines = re.split(rf" (?={re.escape(parser.prog)} )", usage)
    yield f".nf\n{''.join(line_filled(escaped(line)) for line in lines)}.fi\n"
    yield ".SH DESCRIPTION\n" + prose(parser.description or "")
    for group, actions in shown(parser):
        yield f".SH {escaped((group.title or '').upper())}\n" + prose(group.description or "")
        yield from (entry for action in actions for entry in of_action(parser, action))
    for title, text in sections(parser.epilog or ""):
        yield f".SH {escaped(title.upper())}\n" + (examples(text) if title.startswith("example") else prose(text))
    yield ".SH SEE ALSO\n" + ",\n".join(f"\\fB{escaped(name[:-3])}\\fR{name[-3:]}" for name in see) + "\n"


def shown(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[argparse._ArgumentGroup, list[argparse.Action]]]:
    """The groups of options that --help shows, and their options. docs/made.py has the same."""
    for group in parser._action_groups:
        if actions := [action for action in group._group_actions if action.help != argparse.SUPPRESS]:
            yield group, actions


def named(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[list[str], str, str]:
    """An option's names, none for an argument; what stands for its value, empty for a switch; and its help in one line."""
    formatter = parser._get_formatter()
    value = ""
    if not action.option_strings:
        value = str(action.metavar or action.dest)
    elif action.nargs != 0:
        value = formatter._format_args(action, action.metavar or action.dest.upper())  # type: ignore[arg-type]
    return list(action.option_strings), value, " ".join(formatter._expand_help(action).split())


def line_filled(line: str) -> str:
    """A long synopsis in lines of at most 70 columns, broken between options."""
    lines = [""]
    for word in re.findall(r"\[[^\]]*\]|\S+", line):
        if lines[-1] and len(f"{lines[-1]} {word}".replace("\\", "")) > 70:
            lines.append("    ")
        lines[-1] += word if not lines[-1].strip() else f" {word}"
    return "\n".join(lines) + "\n"


def of_action(parser: argparse.ArgumentParser, action: argparse.Action) -> Iterator[str]:
    """An option, an argument, or the commands."""
    if isinstance(action, argparse._SubParsersAction):
        for choice in action._choices_actions:
            yield f".TP\n.B {escaped(str(choice.metavar or choice.dest))}\n{escaped(choice.help or '')}\n"
        return
    options, value, text = named(parser, action)
    italic = f"\\fI{escaped(value)}\\fR" if value else ""
    heads = [f"\\fB{escaped(name)}\\fR {italic}".rstrip() for name in options] or [italic]
    yield f".TP\n{', '.join(heads)}\n{escaped(text)}\n"


def sections(epilog: str) -> Iterator[tuple[str, str]]:
    """The titles and texts of an epilog. What comes before the first title is the exit status."""
    title, lines = "exit status", list[str]()
    for line in [*epilog.splitlines(), "end:"]:
        if re.fullmatch(r"\S.*:", line):
            if any(lines):
                yield title, "\n".join(lines).removeprefix("Exit status: ")
            title, lines = line.rstrip(":"), []
        else:
            lines.append(line.removeprefix("  "))


def prose(text: str) -> str:
    """Paragraphs, which are filled. One with lines that are indented stays as it is."""
    made = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if re.search(r"(?m)^\s", paragraph):
            made.append(examples(paragraph))
        elif paragraph.strip():
            made.append(f".PP\n{escaped(' '.join(paragraph.split()))}\n")
    return "".join(made)


def examples(text: str) -> str:
    """Lines as they are."""
    return f".PP\n.nf\n{escaped(text.strip(chr(10)))}\n.fi\n"


def parsers(
    parser: argparse.ArgumentParser, name: str, summary: str
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """This one and all below it: the page's name, its summary."""
    yield name, summary, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for word, below in action.choices.items():
                yield from parsers(below, f"{name}-{word}", helps[word])


def pages() -> Iterator[tuple[str, str]]:
    """The file name and the text of each page."""
    plugin = cli.command_line()
    summary = "check a PostgreSQL job log: which jobs failed, are missing, stuck or blocked"
    yield "check_jobmon.1", page("check_jobmon", 1, summary, of_parser(plugin, ["jobmonctl(1)", "jobs.yml(5)"]))
    found = list(
        parsers(dispatch.command_line(), "jobmonctl", "set up a PostgreSQL job log, look at it, and act on it")
    )
    for name, summary, parser in found:
        below = [f"{other}(1)" for other, *_ in found if other.startswith(f"{name}-")]
        above = [f"{name.rpartition('-')[0]}(1)"] if "-" in name else ["check_jobmon(1)", "jobs.yml(5)"]
        yield f"{name}.1", page(name, 1, summary, of_parser(parser, above + below))
    yield from map(of_page, FILES)


def of_page(source: str) -> tuple[str, str]:
    """A page of docs/ as a manual."""
    from docutils.core import publish_string

    name, summary = FILES[source]
    text = (ROOT / source).read_text(encoding="utf-8")
    _, _, body = text.split("\n", 2)
    fields = {"Manual section": 5, "Date": DATE, "Version": f"check_jobmon {__version__}"}
    head = f"{name}\n{'=' * len(name)}\n\n{summary}\n{'%' * len(summary)}\n\n"
    head += "".join(f":{field}: {value}\n" for field, value in fields.items())
    # links between the pages of docs/ would be links to nowhere
    body = re.sub(r"`([^`<]+) <[^>]*\.rst[^>]*>`_", r"*\1*", body)
    options = {"input_encoding": "unicode", "output_encoding": "unicode", "report_level": 2, "halt_level": 3}
    return f"{name}.5", tight(str(publish_string(head + body, writer_name="manpage", settings_overrides=options)))


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in pages():
        (folder / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
