"""jobmonctl: dispatches to one module a command. Exit status 0 done, 1 not done, 2 wrong arguments."""
# PYTHON_ARGCOMPLETE_OK

import io
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from check_jobmon.ctl.parser import Parser


class _Stderr(io.FileIO):
    """Standard error: what can't be written there is lost, and changes nothing else."""

    def write(self, data: "Buffer") -> int:
        """Write it, or not."""
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def command_line() -> "Parser":
    """The parser of all commands."""
    from check_jobmon import __version__
    from check_jobmon.ctl import ack, bootstrap, cancel, clear, detail, history, show, status, uninstall
    from check_jobmon.ctl import config_actions as config
    from check_jobmon.ctl import shell_job as run
    from check_jobmon.ctl.parser import Parser
    from check_jobmon.demo import main as demo

    parser = Parser(
        prog="jobmonctl",
        description="Set up the PostgreSQL job log that check_jobmon reads, see what is in it, and act on it.",
        epilog="Exit status: 0 done, 1 not done (stderr says why), 2 wrong arguments.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"jobmonctl {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (bootstrap, config, status, show, detail, history, cancel, clear, ack, run, demo, uninstall):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The console script `jobmonctl`."""
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if not ignored:
        # a traceback from the middle of an import would help nobody, and there is nothing yet to be ended in order
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_streams()
    from check_jobmon.config.connection_options import complete
    from check_jobmon.text import clean

    try:
        try:
            parser = command_line()
            complete(parser)
            arguments = parser.parse_args(argv)
            if not ignored and getattr(arguments, "command", "") != "run":
                signal.signal(signal.SIGINT, signal.default_int_handler)
            return int(arguments.run(arguments))
        finally:
            sys.stdout.flush()  # help, too
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


def _open_streams() -> None:
    """Have /dev/null where stdout or stderr is closed, or the next file to be opened would take its place.

    Not inheritable, so that it is closed for a command of `run`, too. sys.stdin stays None where stdin is closed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is sys.__stderr__:
        raw: io.RawIOBase = _Stderr(2, "w", closefd=False)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), encoding=sys.stdout.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a job's name may not fit the terminal's encoding
