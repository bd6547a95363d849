"""jobmonctl config: keeps job_check_config in a YAML file under version control. Its actions: apply, diff, export, check."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence

import psycopg

from check_jobmon.config.config_file import ConfigFileMistakes, Configuration, located, read, read_hosts
from check_jobmon.config.config_table import Change, ConfigTable, changes
from check_jobmon.config.connection_options import help_formatter, option, path
from check_jobmon.config.export import refusable, write, write_data
from check_jobmon.config.job_fields import JobConfig
from check_jobmon.config.yaml_nodes import Mistake, Position, read_bytes
from check_jobmon.connection import ExpectedError
from check_jobmon.connection.errors import one_line
from check_jobmon.connection.session import Session
from check_jobmon.ctl.arguments import add_help_texts, add_session_arguments, print_error
from check_jobmon.ctl.config_suggest import add_suggest_arguments, run_suggest
from check_jobmon.ctl.connecting import CommandFailed, JobLog, connected
from check_jobmon.ctl.service_definitions import add_arguments as add_service_arguments
from check_jobmon.ctl.service_definitions import write_services
from check_jobmon.text import clean, counted

SHOWN = 100
"""Mistakes printed at most."""
HEAD = "# job_check_config, as written by: jobmonctl config export\n"
DONE, NOT_DONE, FAILED = 0, 1, 2
_SIGNS = {"+": "added", "~": "changed", "-": "removed", "=": "kept"}


def run(arguments: argparse.Namespace) -> int:
    """Run the action; if it fails, print why on stderr, each mistake in a file on a line of its own."""
    failed = FAILED if arguments.dry_run else NOT_DONE  # with it, 1 means that there are differences
    try:
        return arguments.action(arguments) or DONE
    except ConfigFileMistakes as error:
        _print_mistakes(error.source, error.mistakes)
        return failed
    except ExpectedError as error:
        print_error(arguments, str(error))
        return FAILED if arguments.action is _check else failed
    except KeyboardInterrupt:
        if not arguments.dry_run:
            raise
        print_error(arguments, "interrupted")
        return failed


def _check(arguments: argparse.Namespace) -> None:
    found = read(_source(arguments), read_bytes(arguments.file), kept=())
    _print_mistakes(_source(arguments), found.warnings)
    print(f"{_source(arguments)}: {counted(len(found.jobs or ()), 'job')}, {counted(len(found.hosts), 'host')}")
    if any(job.schedule for job in found.jobs or ()):
        print(f"only a server can check the schedules in full: jobmonctl config diff {arguments.file} -d DATABASE")


def _apply(arguments: argparse.Namespace) -> int:
    """Print how the table differs from the file and, unless this is a dry run, make it match the file."""
    source, data, writes = _source(arguments), read_bytes(arguments.file), not arguments.dry_run
    hosts = _read_without_server(source, data).hosts
    with connected(arguments, () if arguments.config else hosts) as (session, schema):
        table = _table(session, schema, writes)
        with session.transaction("READ WRITE" if writes else "READ ONLY"):
            if writes:
                table.lock()
            rows = table.rows()
            file = read(source, data, table.upper, () if arguments.prune else rows, table.wrong_times)
            jobs = file.jobs or ()
            table.require_columns(jobs)
            todo = changes(rows, jobs, arguments.prune)
            if writes:
                table.make(todo)
        _print_changes(todo, table, writes)
        _print_mistakes(source, (*file.warnings, *_never_logged(table, jobs)))
    return DONE if writes or all(change.sign == "=" for change in todo) else NOT_DONE


def _read_without_server(source: str, data: bytes) -> Configuration:
    """The file, as far as it can be read before a server has capitalized its names."""
    try:
        found = read(source, data, upper=list)
    except ConfigFileMistakes:
        return read(source, data)  # finds duplicates too, so that all mistakes are reported at once
    if found.jobs is None:
        # an empty file is more probably a mistake than the wish to have no job
        raise CommandFailed(f'{source} has no "jobs:" (to say that there is no job, write "jobs: {{}}")')
    return found


def _table(session: Session, schema: str, writes: bool = False) -> ConfigTable:
    """The table. Raises CheckImpossible unless it is part of a job log that can be trusted, and may be read."""
    log = JobLog(session, schema, "config apply" if writes else "", ("job_check_config",))
    return ConfigTable(session, schema, log.columns, log.version)


def _never_logged(table: ConfigTable, jobs: Sequence[JobConfig]) -> list[Mistake]:
    """A warning for each job under whose name no run was ever logged."""
    try:
        with table.session.transaction("READ ONLY"):
            nearest = table.never_logged([job.name for job in jobs])
    except psycopg.Error as error:
        return [Mistake(Position(), f"can't tell which jobs were ever logged: {one_line(error)}", warning=True)]
    warnings = []
    for job in jobs:
        if job.name in nearest:
            like = "".join(f', but under "{clean(name, 60)}"' for name in nearest[job.name])
            text = f'no run was ever logged under "{clean(job.name, 60)}"{like}'
            warnings.append(Mistake(job.position, text, warning=True))
    return warnings


def _export(arguments: argparse.Namespace) -> int:
    _refuse_to_replace(arguments.file)
    with connected(arguments) as (session, schema):
        table = _table(session, schema)
        with session.transaction("READ ONLY"):
            rows = table.rows()
            data = (HEAD + write(rows, table.upper)).encode()
    write_data(arguments.file, data)
    refused = refusable(rows)
    for what in refused[:SHOWN]:
        print_error(arguments, f"warning: {what}: apply will refuse that")
    return NOT_DONE if refused else DONE


def _refuse_to_replace(path: str) -> None:
    """Raise CommandFailed for a file that has more in it than an export: hosts, or something else altogether."""
    if path == "-" or not os.path.isfile(path):
        return
    try:
        if read_hosts(path, read_bytes(path)):
            raise CommandFailed(f"{path} has hosts, which an export has not: export to another file, and merge them")
    except ConfigFileMistakes as error:
        raise CommandFailed(f"{path} is there, and is no configuration ({error}): export to another file") from None


def _source(arguments: argparse.Namespace) -> str:
    return "standard input" if arguments.file == "-" else str(arguments.file)


def _print_mistakes(source: str, mistakes: Sequence[Mistake]) -> None:
    # warnings last, so that no mistake is left out for them
    ordered = sorted(mistakes, key=lambda mistake: (mistake.warning, mistake.position))
    for mistake in ordered[:SHOWN]:
        print(clean(located(source, mistake)), file=sys.stderr)
    if len(ordered) > SHOWN:
        print(f"{clean(source)}: and {len(ordered) - SHOWN} more", file=sys.stderr)


def _print_changes(changes: list[Change], table: ConfigTable, done: bool) -> None:
    for change in changes:
        print(f"{change.sign} {clean(change.name)}: {change.difference}")
    counts = Counter(change.sign for change in changes)
    words = ", ".join(f"{counts[sign]} {word}" for sign, word in _SIGNS.items() if sign in counts)
    where = f'schema "{clean(table.schema)}" of database "{clean(table.session.dbname)}"'
    print(f"{where}: {words or 'no difference'}" + ("" if done or not words else ", if applied"), flush=True)


ACTIONS = {
    "apply": (_apply, "make the table match a file"),
    "diff": (_apply, "print what apply would do"),
    "export": (_export, "write a file from the table"),
    "check": (_check, "report all mistakes in a file"),
    "services": (write_services, "write the services for --per-job, for Nagios or Icinga"),
    "suggest": (run_suggest, "propose a file from the runs that were logged"),
}
"""The function of each action, and its line in the help of `config`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command lines of the actions."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    replaced = "file to write; an existing one is replaced, unless it has 'hosts:' (default: standard output)"
    for name, (function, summary) in ACTIONS.items():
        action = actions.add_parser(name, help=summary, formatter_class=help_formatter)
        add_help_texts(action, f"config {name}")
        action.set_defaults(action=function, command=f"config {name}", refuse=action.error, dry_run=name == "diff")
        if name == "services":
            add_service_arguments(action)
        elif name == "suggest":
            add_suggest_arguments(action)
        elif name == "export":
            option(action, "file FILE", replaced, path, nargs="?", default="-")
        else:
            option(action, "file FILE", "file to read; - is standard input", path)
        if name in ("apply", "diff"):
            option(action, "--prune", "remove the jobs that FILE doesn't name (default: keep them)")
        if name == "apply":
            option(action, "--dry-run", "the same as diff")
        if name != "check":
            add_session_arguments(action)
