"""Every command line of both programs, as their parsers have them: each command with each of its options."""

import argparse
import functools
from collections.abc import Collection, Iterator, Mapping

from check_jobmon.ctl import dispatch
from check_jobmon.plugin import cli

NOT_TRIED = {
    "--help": "prints a page",
    "--version": "prints a line",
    "--watch": "goes on until it is interrupted",
    "demo": "has a server of its own",
    "extension": "writes files into the folder of the server's programs",
}
"""Options and commands that don't connect to the test's server, or don't end, and why."""


def leaves(parser: argparse.ArgumentParser, *path: str) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """The commands that have no commands below them, each with its parser."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield path, parser
    for group in groups:
        for name, below in group.choices.items():
            if name not in NOT_TRIED:
                yield from leaves(below, *path, name)


def nearly_all_have(options: Collection[Collection[str]]) -> list[str]:
    """The names that at least seven in ten of the commands have, of each of which `options` are the options: sorted."""
    names = {name for each in options for name in each}
    return sorted(name for name in names if sum(name in each for each in options) > 0.7 * len(options))


@functools.cache
def leaves_of(program: str) -> dict[tuple[str, ...], argparse.ArgumentParser]:
    """The commands of jobmonctl, or the plugin as one without a name. To build the parsers takes as long as many a test."""
    return dict(leaves(dispatch.command_line() if program == "jobmonctl" else cli.command_line()))


def commands() -> list[tuple[str, ...]]:
    """All of jobmonctl's commands: ("show",), ("config", "diff") ..."""
    return [*leaves_of("jobmonctl")]


def command_lines(
    program: str, connection: list[str], values: Mapping[str, str], only: tuple[str, ...] | None = None
) -> Iterator[list[str]]:
    """The command lines of a program: each command as it is, and with each of its options.

    `connection` are the options by which each connects; `values` what to give by an argument's metavar, of which each needs
    one: so whoever adds an argument is told to think of it here. `only` is the one command that is wanted.
    """
    for path, parser in leaves_of(program).items():
        if only is not None and path != only:
            continue
        known = {name for action in parser._actions for name in action.option_strings}
        where = connection if known.issuperset(name for name in connection if name.startswith("-")) else []
        given = [name for name in where if name.startswith("-")]
        positional, options = [], []
        required = [group._group_actions for group in parser._mutually_exclusive_groups if group.required]
        first = [actions[0].option_strings[-1] for actions in required]
        for action in parser._actions:
            if not action.option_strings:
                positional.append(values[str(action.metavar)])
            elif action.required:
                positional += [action.option_strings[-1], values[str(action.metavar)]]
            elif not set(action.option_strings) & {*NOT_TRIED, *given, *first}:
                long = action.option_strings[-1]
                if action.nargs == 0:
                    options.append([long])
                else:
                    value = action.choices[0] if action.choices else values[str(action.metavar)]  # type: ignore[index]
                    options.append([long, str(value)])
        for option in [[], *options]:
            one_of = [] if any(option[:1] == a.option_strings[-1:] for group in required for a in group) else first
            yield [*path, *where, *one_of, *option, *positional]
