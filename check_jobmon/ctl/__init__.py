"""jobmonctl: dispatches to one module a command. Exit status 0 done, 1 not done, 2 wrong arguments."""

import sys
from collections.abc import Sequence

from check_jobmon import __version__
from check_jobmon.arguments import complete
from check_jobmon.ctl import ack, bootstrap, cancel, clear, demo, detail, history, show, status
from check_jobmon.ctl.command import Parser
from check_jobmon.text import clean


def main(argv: Sequence[str] | None = None) -> int:
    """The console script `jobmonctl`."""
    parser = Parser(
        prog="jobmonctl",
        description="Set up the PostgreSQL job log that check_jobmon reads, see what is in it, and act on it.",
        epilog="Exit status: 0 done, 1 not done (stderr says why), 2 wrong arguments.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"jobmonctl {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (bootstrap, status, show, detail, history, cancel, clear, ack, demo):
        command.add_parser(commands)
    complete(parser)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("jobmonctl: interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        said = clean(str(error), 300)
        print(f"jobmonctl: a bug ({type(error).__name__}: {said}); python -X dev shows where", file=sys.stderr)
        return 1
