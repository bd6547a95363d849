"""jobmonctl: dispatches to one module a command. Exit status 0 done, 1 not done, 2 wrong arguments."""
# PYTHON_ARGCOMPLETE_OK

import io
import os
import sys
from collections.abc import Sequence

from check_jobmon import __version__
from check_jobmon.arguments import complete
from check_jobmon.ctl import ack, bootstrap, cancel, clear, config, demo, detail, history, run, show, status, uninstall
from check_jobmon.ctl.command import Parser
from check_jobmon.text import clean

COMMANDS = (bootstrap, config, status, show, detail, history, cancel, clear, ack, run, demo, uninstall)


def command_line() -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="jobmonctl",
        description="Set up the PostgreSQL job log that check_jobmon reads, see what is in it, and act on it.",
        epilog="Exit status: 0 done, 1 not done (stderr says why), 2 wrong arguments.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"jobmonctl {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The console script `jobmonctl`."""
    parser = command_line()
    complete(parser)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a job's name may not fit the terminal's encoding
    try:
        arguments = parser.parse_args(argv)
        done = int(arguments.run(arguments))
        sys.stdout.flush()
        return done
    except OSError as error:
        # nobody reads any longer, or the disk is full; Python must not try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):
            where = f": {error.filename}" if error.filename else ""
            print(f"jobmonctl: {clean(f'{error.strerror or error}{where}', 300)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("jobmonctl: interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        said = clean(str(error), 300)
        print(f"jobmonctl: a bug ({type(error).__name__}: {said}); python -X dev shows where", file=sys.stderr)
        return 1
    finally:
        _give_up_unread()


def _give_up_unread() -> None:
    """Nobody may read stderr. Python must not try again at its end, and fail with a status of its own."""
    try:
        if sys.stderr:
            sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
