"""jobmonctl: dispatches to one module a command. Exit status 0 done, 1 not done, 2 wrong arguments."""

import argparse
import sys
from collections.abc import Sequence

from check_jobmon import __version__
from check_jobmon.ctl import bootstrap, demo, run


def main(argv: Sequence[str] | None = None) -> int:
    """The console script `jobmonctl`."""
    parser = argparse.ArgumentParser(
        prog="jobmonctl",
        description="Set up and try out the PostgreSQL job log that check_jobmon reads.",
        epilog="Exit status: 0 done, 1 not done (stderr says why), 2 wrong arguments.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"jobmonctl {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (bootstrap, demo, run):
        command.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("jobmonctl: interrupted", file=sys.stderr)
        return 1
