"""jobmonctl: dispatches to one module a command. Exit status 0 done, 1 not done, 2 wrong arguments."""
# PYTHON_ARGCOMPLETE_OK

import argparse
import io
import os
import sys
from collections.abc import Sequence

from check_jobmon import __version__
from check_jobmon.arguments import complete
from check_jobmon.ctl import bootstrap, config, demo


def main(argv: Sequence[str] | None = None) -> int:
    """The console script `jobmonctl`."""
    parser = argparse.ArgumentParser(
        prog="jobmonctl",
        description="Set up and try out the PostgreSQL job log that check_jobmon reads.",
        epilog="Exit status: 0 done, 1 not done (stderr says why), 2 wrong arguments.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"jobmonctl {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (bootstrap, config, demo):
        command.add_parser(commands)
    complete(parser)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a job's name may not fit the terminal's encoding
    try:
        arguments = parser.parse_args(argv)
        status = int(arguments.run(arguments))
        sys.stdout.flush()
        return status
    except OSError as error:
        # nobody reads any longer, or the disk is full; Python must not try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):
            print(f"jobmonctl: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("jobmonctl: interrupted", file=sys.stderr)
        return 1
