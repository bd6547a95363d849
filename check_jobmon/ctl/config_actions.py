"""jobmonctl config: job_check_config as a YAML file under version control."""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from check_jobmon.config.connection_options import add_connection_arguments, path
from check_jobmon.ctl.parser import add_timeout_argument

if TYPE_CHECKING:
    from check_jobmon.config.config_file import Configuration, Host, JobConfig
    from check_jobmon.config.config_table import Change, ConfigTable
    from check_jobmon.config.yaml_nodes import Mistake

SHOWN = 100
"""Mistakes printed at most."""
HEAD = "# job_check_config, as written by: jobmonctl config export\n"
DONE, NOT_DONE, FAILED = 0, 1, 2
_WORDS = {"+": "added", "~": "changed", "-": "removed", "=": "kept"}

FILE_FORMAT = """\
the file:
  defaults: {warn: 25h, error: 2d, sensitivity: 0}
  jobs:
    NIGHTLY ETL: {warn: 26h, error: 30h}
    CUBE REFRESH: {sensitivity: 2, active: false}

  Durations: 90m, 1d 12h, or any interval of PostgreSQL or ISO 8601. Names are
  capitalized as add_job does, except after the tag !exact. A job is active
  unless it says active: false.
"""
EPILOGS = {
    "apply": f"""{FILE_FORMAT}
exit status:
  0 done, or nothing to do; 1 not done, and nothing changed: stderr says why;
  2 wrong arguments; with --dry-run that of diff

example:
  jobmonctl config apply jobs.yml -H db -d etl --dry-run
""",
    "diff": """\
exit status:
  0 no difference; 1 differences; 2 wrong arguments, or it can't be told: stderr
  says why. Rows that the file doesn't name differ only with --prune.

example:
  jobmonctl config diff jobs.yml -H db -d etl
""",
    "export": """\
exit status:
  0 done; 1 not done, or the file has rows that apply would refuse: stderr says
  which; 2 wrong arguments

example:
  jobmonctl config export jobs.yml -H db -d etl
""",
    "check": f"""{FILE_FORMAT}
exit status:
  0 nothing wrong, or only what deserves a warning; 1 mistakes, each with file,
  line and column on stderr; 2 wrong arguments, or the file can't be read

example:
  jobmonctl config check jobs.yml
""",
}
DESCRIPTIONS = {
    "apply": "Make the table job_check_config what FILE says, in one transaction. Prints a\n"
    "line for each job that is added (+), changed (~), removed (-), or kept though\n"
    "FILE doesn't name it (=).",
    "diff": "Print what apply would do, and change nothing.",
    "export": "Write the file that would give today's table.",
    "check": "Read FILE, and say all that is wrong with it. Needs no database.",
}
HELP = {
    "apply": "make the table what a file says",
    "diff": "print what apply would do",
    "export": "write the file that gives the table",
    "check": "say all that is wrong with a file",
}


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=27, width=80)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command and its four actions."""
    parser = commands.add_parser(
        "config",
        help="keep thresholds in a file under version control",
        description="Keep the table job_check_config in a YAML file under version control.",
        epilog="exit status:\n  0 done, 1 not done (stderr says why), 2 wrong arguments; diff: see its help\n\n"
        "example:\n  jobmonctl config apply jobs.yml -H db -d etl",
        formatter_class=_formatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name in _ACTIONS:
        action = actions.add_parser(
            name, help=HELP[name], description=DESCRIPTIONS[name], epilog=EPILOGS[name], formatter_class=_formatter
        )
        if name == "export":
            action.add_argument(
                "file",
                type=path,
                metavar="FILE",
                nargs="?",
                default="-",
                help="file to write; one that is there is replaced, unless it has hosts (default: standard output)",
            )
        else:
            action.add_argument("file", type=path, metavar="FILE", help="file to read; - is standard input")
        if name in ("apply", "diff"):
            action.add_argument("--prune", action="store_true", help="remove what FILE doesn't name (default: keep it)")
        if name == "apply":
            action.add_argument("--dry-run", action="store_true", help="the same as diff")
        if name != "check":
            add_connection_arguments(action)
            add_timeout_argument(action)
        action.set_defaults(run=run, action=name)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for; if it can't be, say why on stderr, each mistake in a line of its own."""
    from check_jobmon.config.config_file import ConfigFileMistakes
    from check_jobmon.text import clean

    reads_only = arguments.action == "diff" or (arguments.action == "apply" and arguments.dry_run)
    try:
        return _ACTIONS[arguments.action](arguments)
    except _Refused as error:
        print(f"jobmonctl config {arguments.action}: {clean(str(error))}", file=sys.stderr)
        return FAILED if reads_only or arguments.action == "check" else NOT_DONE
    except ConfigFileMistakes as error:
        _print_mistakes(error.source, error.mistakes)
        return FAILED if reads_only else NOT_DONE
    except KeyboardInterrupt:
        if not reads_only:
            raise
        print(f"jobmonctl config {arguments.action}: interrupted", file=sys.stderr)
        return FAILED  # for 1 would mean that there are differences


class _Refused(Exception):
    """Why it can't be done, in one line."""


def _check(arguments: argparse.Namespace) -> int:
    from check_jobmon.config.config_file import read
    from check_jobmon.text import counted

    found = read(_source(arguments), _bytes(arguments))
    _print_mistakes(_source(arguments), found.warnings)
    print(f"{_source(arguments)}: {counted(len(found.jobs or ()), 'job')}, {counted(len(found.hosts), 'host')}")
    return DONE


def _apply(arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        return _diff(arguments)
    _compare(arguments, write=True)
    return DONE


def _diff(arguments: argparse.Namespace) -> int:
    found = _compare(arguments, write=False)
    return NOT_DONE if any(change.sign != "=" for change in found) else DONE


def _compare(arguments: argparse.Namespace, write: bool) -> "list[Change]":
    """Compare file and table, make the table the same if told so, and print what differs.

    Raises _Refused or ConfigFileMistakes.
    """
    from check_jobmon.config.config_file import read
    from check_jobmon.config.config_table import changes

    source, data = _source(arguments), _bytes(arguments)
    hosts = _read_without_server(source, data).hosts
    with _connected(arguments, hosts) as table:
        with _transaction(table, "READ WRITE" if write else "READ ONLY"):
            if write:
                table.lock()
            file = read(source, data, table.upper)
            jobs = file.jobs or ()
            todo = changes(table.rows(), jobs, arguments.prune)
            if write:
                table.make(todo)
        _print_changes(todo, table, write)
        _print_mistakes(source, (*file.warnings, *_never_logged(table, jobs)))
    return todo


def _read_without_server(source: str, data: bytes) -> "Configuration":
    """The file, as far as it can be read before a server has capitalized its names. Raises _Refused or ConfigFileMistakes."""
    from check_jobmon.config.config_file import ConfigFileMistakes, read

    try:
        found = read(source, data, upper=list)
    except ConfigFileMistakes:
        return read(source, data)  # which finds duplicates too, for all mistakes at once
    if found.jobs is None:
        # an empty file is rather one that could not be made than one that says that there is no job
        raise _Refused(f'{source} has no "jobs:" (to say that there is no job, write "jobs: {{}}")')
    return found


@contextlib.contextmanager
def _connected(arguments: argparse.Namespace, hosts: "tuple[Host, ...]" = ()) -> "Iterator[ConfigTable]":
    """The table, over a connection that is closed in the end. Raises _Refused."""
    import psycopg

    from check_jobmon.config.config_table import ConfigTable
    from check_jobmon.config.hosts import ConfigFileError, locate
    from check_jobmon.connection.errors import CheckImpossible, DatabaseUnreachable
    from check_jobmon.ctl.runner import JobLog, reason_of

    try:
        log = JobLog(arguments, locate(arguments, () if arguments.config else hosts), ("job_check_config",))
        with log.session:
            yield ConfigTable(log.session, log.schema)
    except (ConfigFileError, CheckImpossible, DatabaseUnreachable) as error:
        raise _Refused(str(error)) from None
    except psycopg.Error as error:
        raise _Refused(reason_of(error, str(arguments.schema), arguments.timeout)) from None


@contextlib.contextmanager
def _transaction(table: "ConfigTable", mode: str = "READ ONLY") -> Iterator[None]:
    """All or nothing. Raises _Refused for what the server says."""
    import psycopg

    try:
        with table.session.transaction(mode):
            yield
    except psycopg.Error as error:
        raise _Refused(table.explain(error)) from None


def _never_logged(table: "ConfigTable", jobs: "tuple[JobConfig, ...]") -> "list[Mistake]":
    import psycopg

    from check_jobmon.config.yaml_nodes import Mistake, Position
    from check_jobmon.connection.errors import one_line
    from check_jobmon.text import clean

    try:
        with table.session.transaction("READ ONLY"):
            missing = table.never_logged([job.name for job in jobs])
    except psycopg.Error as error:
        return [Mistake(Position(), f"can't tell which jobs were ever logged: {one_line(error)}", warning=True)]
    warnings = []
    for job in jobs:
        if job.name in missing:
            like = "".join(f', but under "{clean(name, 60)}"' for name in missing[job.name])
            text = f'no run was ever logged under "{clean(job.name, 60)}"{like}'
            warnings.append(Mistake(job.position, text, warning=True))
    return warnings


def _export(arguments: argparse.Namespace) -> int:
    from check_jobmon.config.export import above, write
    from check_jobmon.text import clean

    _see_replaceable(arguments.file)
    with _connected(arguments) as table, _transaction(table):
        rows = table.rows()
        text = HEAD + write(rows, table.upper)
    _write(arguments.file, text.encode())
    refusable = above(rows)
    for job in refusable:
        what = f"warn {job.warn} of {clean(job.name, 60)} is above error {job.error}"
        print(f"jobmonctl config export: warning: {what}: apply will refuse that", file=sys.stderr)
    return NOT_DONE if refusable else DONE


def _see_replaceable(path: str) -> None:
    """Raise _Refused for a file that has more to it than an export: hosts, or something else altogether."""
    from check_jobmon.config.config_file import ConfigFileMistakes, read_hosts
    from check_jobmon.config.hosts import ConfigFileError
    from check_jobmon.config.yaml_nodes import read_bytes

    if path == "-" or not os.path.isfile(path):
        return
    try:
        if read_hosts(path, read_bytes(path)):
            raise _Refused(f"{path} has hosts, which an export has not: export to another file, and merge them")
    except ConfigFileMistakes as error:
        raise _Refused(f"{path} is there, and is no configuration ({error}): export to another file") from None
    except ConfigFileError as error:
        raise _Refused(str(error)) from None


def _write(path: str, data: bytes) -> None:
    """Write all or nothing: a file is replaced when its successor is complete."""
    try:
        if path == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        elif os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as device:
                device.write(data)
        else:
            target = os.path.realpath(path)
            with tempfile.NamedTemporaryFile(dir=os.path.dirname(target), prefix=".jobmonctl-", delete=False) as file:
                try:
                    file.write(data)
                    file.flush()
                    os.chmod(file.name, _mode(target))
                    os.replace(file.name, target)
                except BaseException:
                    os.unlink(file.name)
                    raise
    except OSError as error:
        raise _Refused(f"{'standard output' if path == '-' else path} can't be written: {error.strerror}") from None


def _mode(path: str) -> int:
    """The permissions of a file that is there, or of a new one."""
    with contextlib.suppress(FileNotFoundError):
        return os.stat(path).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _bytes(arguments: argparse.Namespace) -> bytes:
    from check_jobmon.config.hosts import ConfigFileError
    from check_jobmon.config.yaml_nodes import read_bytes

    try:
        return read_bytes(arguments.file)
    except ConfigFileError as error:
        raise _Refused(str(error)) from None


def _source(arguments: argparse.Namespace) -> str:
    return "standard input" if arguments.file == "-" else str(arguments.file)


def _print_mistakes(source: str, mistakes: "tuple[Mistake, ...]") -> None:
    from check_jobmon.config.config_file import located
    from check_jobmon.text import clean

    # warnings last, so that no mistake is left out for them
    ordered = sorted(mistakes, key=lambda mistake: (mistake.warning, mistake.position))
    for mistake in ordered[:SHOWN]:
        print(clean(located(source, mistake)), file=sys.stderr)
    if len(ordered) > SHOWN:
        print(f"{clean(source)}: and {len(ordered) - SHOWN} more", file=sys.stderr)


def _print_changes(changes: "list[Change]", table: "ConfigTable", done: bool) -> None:
    from check_jobmon.text import clean

    for change in changes:
        print(f"{change.sign} {clean(change.name)}: {_difference(change)}")
    counts = [(sum(change.sign == sign for change in changes), word) for sign, word in _WORDS.items()]
    words = ", ".join(f"{count} {word}" for count, word in counts if count)
    where = f'schema "{clean(table.schema)}" of database "{clean(table.session.dbname)}"'
    print(f"{where}: {words or 'no difference'}" + ("" if done or not words else ", if applied"), flush=True)


def _difference(change: "Change") -> str:
    if change.sign == "=":
        return "kept, though the file does not name it (--prune removes it)"
    before, after = change.before, change.after
    if before and after:
        pairs = zip(_facts(before), _facts(after), strict=True)
        return ", ".join(f"{old} -> {new.split(' ', 1)[1]}" for old, new in pairs if old != new)
    job = after or before
    assert job is not None
    return ", ".join(_facts(job))


def _facts(job: "JobConfig") -> list[str]:
    return [
        f"warn {job.warn}",
        f"error {job.error}",
        f"sensitivity {job.sensitivity}",
        f"active {'true' if job.active else 'false'}",
    ]


_ACTIONS = {"apply": _apply, "diff": _diff, "export": _export, "check": _check}
