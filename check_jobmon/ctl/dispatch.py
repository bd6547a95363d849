"""jobmonctl: parses the command line, runs the command, reports its errors. Exit status 0 done, 1 not done, 2 wrong arguments.

Each command is a module with `add_arguments(parser)` and `run(arguments)`, and a text in help/. Only the module of the command
that is given is imported. `run` returns the exit status, or nothing for 0. It raises ExpectedError if it can't do what it is
told to, and calls `arguments.refuse(message)` if the arguments are wrong.
"""

import argparse
import importlib
import io
import os
import signal
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from check_jobmon.connection import ExpectedError

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from check_jobmon.ctl.arguments import Parser


class _Stderr(io.FileIO):
    """Standard error: what can't be written there is lost, and changes nothing else."""

    def write(self, data: "Buffer") -> int:
        """Write it if that is possible."""
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


COMMANDS = {
    "bootstrap": ("ctl.bootstrap", "install or upgrade the job log's schema"),
    "config": ("ctl.config_actions", "keep job_check_config in a file under version control"),
    "status": ("ctl.status", "the state of each job, as check_jobmon judges it"),
    "show": ("ctl.show", "the runs of a job, or of all jobs"),
    "like": ("ctl.show", "the runs of the jobs whose name contains a text"),
    "failed": ("ctl.show", "the runs that failed"),
    "running": ("ctl.show", "the runs under way"),
    "detail": ("ctl.detail", "the steps of a run, as a timeline"),
    "history": ("ctl.show", "a job's runs as a bar chart"),
    "report": ("ctl.report", "a page with the timeline of the runs, to look at or to send"),
    "cancel": ("ctl.cancel", "cancel a run under way"),
    "clear": ("ctl.clear", "delete old runs"),
    "partition": ("ctl.partition", "partition the log by time, so that old runs are dropped at once"),
    "ack": ("ctl.ack", "stop a job's failures from alerting"),
    "silence": ("ctl.silence", "keep jobs from alerting for a time"),
    "silences": ("ctl.silence", "who has silenced which jobs, until when, and why"),
    "unsilence": ("ctl.silence", "end a silence before its time"),
    "bridge": ("ctl.bridge", "watch the jobs that pg_cron or pgAgent runs"),
    "run": ("ctl.shell_job", "run a command as a logged job"),
    "extension": ("ctl.extension_files", "let pg_partman and mimeo log into the job log"),
    "migrate": ("ctl.migrate", "take over the log of the extension pg_jobmon"),
    "demo": ("demo.main", "start an embedded PostgreSQL, log jobs in every state, and check them"),
    "uninstall": ("ctl.uninstall", "remove the job log's schema and roles"),
}
"""The module of each command, and its line in `jobmonctl --help`."""


def command_line(declared: Collection[str] = COMMANDS.keys()) -> "Parser":
    """The parser of all commands. Only the `declared` ones are imported and know their own arguments."""
    from check_jobmon import __version__
    from check_jobmon.config.connection_options import help_formatter
    from check_jobmon.ctl.arguments import Parser, add_help_texts

    parser = Parser(
        prog="jobmonctl",
        description="Sets up the PostgreSQL job log that check_jobmon reads, shows what is in it, and acts on it.",
        epilog="Exit status: 0 done, 1 not done (stderr says why), 2 wrong arguments.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"jobmonctl {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, formatter_class=help_formatter)
        if name in declared:
            imported = importlib.import_module(f"check_jobmon.{module}")
            command.set_defaults(run=imported.run, command=name, refuse=command.error)
            add_help_texts(command, name)
            imported.add_arguments(command)
    return parser


def _declared(words: Sequence[str]) -> Collection[str]:
    """The commands that a command line needs to know: the one that it names, or all for completion at the prompt."""
    if "_ARGCOMPLETE" in os.environ:
        return COMMANDS
    return [word for word in words if word in COMMANDS][:1]


def main(argv: Sequence[str] | None = None) -> int:
    """Run jobmonctl; returns its exit status."""
    _open_streams()
    from check_jobmon.config.connection_options import complete
    from check_jobmon.ctl.arguments import print_error
    from check_jobmon.text import clean

    try:
        try:
            words = list(sys.argv[1:] if argv is None else argv)
            parser = command_line(_declared(words))
            complete(parser)
            # what follows the first `--` is the command of `run`; argparse would take its options for ours
            end = words.index("--") if words[:1] == ["run"] and "--" in words else len(words)
            arguments = parser.parse_args(words[:end], argparse.Namespace(argv=words[end + 1 :]))
            if arguments.command != "run" and signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            return arguments.run(arguments) or 0
        except ExpectedError as error:
            print_error(arguments, str(error))
            return 1
        finally:
            sys.stdout.flush()  # help, too
    except OSError as error:
        # the reader has left, or the disk is full: so stdout becomes /dev/null, where Python's flush at exit doesn't fail
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
    """Open /dev/null in place of a closed stdin, stdout or stderr: otherwise, the next file to be opened would take its number.

    It isn't inherited, so the stream is closed for a command of `run`, too. sys.stdin stays None where stdin is closed.
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
