"""jobmonctl silence, silences, unsilence: keep jobs from alerting for a time, list who asked for that, and end it early."""

import argparse
from typing import Any, NamedTuple

from psycopg import errors

from check_jobmon.config.connection_options import filled, option
from check_jobmon.config.durations import NotADuration, parse
from check_jobmon.ctl.arguments import add_list_arguments, add_session_arguments, job_id_or_name
from check_jobmon.ctl.connecting import CommandFailed, JobLog, in_job_log
from check_jobmon.ctl.table import NAME, PROSE, Row, Table, show, show_json
from check_jobmon.ctl.targets import Answers, add_targets_argument, answered, host_objects, hosted, over_job_logs
from check_jobmon.sql_files import fill, sql_file
from check_jobmon.text import clean, duration, heading

LONGEST = parse("90 days").length
END = "SELECT i.id FROM unnest(%s::bigint[]) AS i(id) WHERE @schema@.unsilence(i.id)"
NOT_OVER = "state.state IN ('in force', 'planned')"


class Silence(NamedTuple):
    """A row of silences.sql. `matching` says how many jobs match, `when` from when until when the silence is in force; `zone` is
    the time zone of its end.
    """

    silence_id: int
    pattern: str
    matching: str
    when: str
    zone: str
    seconds: float
    cells: list[str]
    as_json: dict[str, Any]

    def shown(self, zoned: bool) -> str:
        """The silence in a sentence, with the zone of its times or not."""
        when = f"{self.when} {self.zone}" if zoned else self.when
        return f"{self.pattern} {when} ({duration(self.seconds)}), id {self.silence_id}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of the parser's `command`."""
    command = parser.get_default("command")
    if command == "silence":
        text = "name of a job, or a shell pattern of names, in any letter case"
        pattern = parser.add_argument("pattern", type=filled, metavar="PATTERN", help=text)
        text = "how long, with its unit: 90m, 2h, 1d 12h; 90 days at most"
        lasts = parser.add_argument("duration", type=filled, metavar="DURATION", help=text)
        # not nargs="?": before an option, argparse would take that for left out
        pattern.required = lasts.required = False
        text = "instead of DURATION: when it ends, in the session's time zone, or 'next run'"
        option(parser, "--until TIME", text, filled)
        option(parser, "--from TIME", "when it starts (default: now)", filled, dest="starts")
        option(parser, "-m --reason REASON", "why: everybody can read it", filled, required=True)
        text = "jobs that match this pattern, too, or instead of PATTERN; repeatable"
        option(parser, "-j --job PATTERN", text, filled, action="append", default=[])
    elif command == "unsilence":
        text = "pattern of a silence as it was given (in any letter case), or its ID"
        option(parser, "which PATTERN|ID", text, job_id_or_name)
    add_session_arguments(parser)
    if command == "silences":
        option(parser, "--all", "also those that are over")
        add_targets_argument(parser)
        add_list_arguments(parser, 100, "silences")


def run(arguments: argparse.Namespace) -> None:
    """Run the arguments' `command`."""
    if arguments.command == "silences":
        over_job_logs(arguments, _listing, _list)
    elif arguments.command == "unsilence":
        _end(arguments)
    else:
        if arguments.job and arguments.duration is None and arguments.until is None:
            arguments.pattern, arguments.duration = None, arguments.pattern
        arguments.next_run = (arguments.until or "").lower().split() == ["next", "run"]
        if problem := _problem(arguments):
            arguments.refuse(problem)
        _begin(arguments)


def _problem(arguments: argparse.Namespace) -> str:
    """What is wrong with the arguments of silence, "" if nothing is."""
    if not (arguments.pattern or arguments.job):
        return "it needs a PATTERN: the name of a job, or 'NIGHTLY *'"
    if arguments.duration is None:
        return "" if arguments.until else "it needs an end: give a DURATION (2h), --until TIME or --until 'next run'"
    if arguments.until and not arguments.next_run:
        return "DURATION and --until TIME are two ends: give one of them"
    try:
        return f"{arguments.duration} is more than 90 days" if parse(arguments.duration).length > LONGEST else ""
    except NotADuration as error:
        return f"{arguments.duration!r} {error}"


@in_job_log
def _begin(log: JobLog, arguments: argparse.Namespace) -> None:
    """Silence the patterns, and print until when, and how many jobs they match."""
    patterns = [*dict.fromkeys(filter(None, [arguments.pattern, *arguments.job]))]
    times = (arguments.starts, None if arguments.next_run else arguments.until, arguments.duration)
    query = sql_file("ctl/silence.sql")
    try:
        made = log.rows(query, patterns, *times, arguments.reason, arguments.next_run, write=True)
    except (errors.InvalidDatetimeFormat, errors.DatetimeFieldOverflow) as error:
        hint = "write a time as '2026-12-24 18:00' or 'tomorrow 18:00'"
        raise CommandFailed(f"{error.diag.message_primary}: {hint}") from None
    found = log.session.ask(_silences(log, "s.silence_id = ANY (%s::bigint[])", "true", [row[0] for row in made]))
    for silence in reversed(found):
        print(clean(f"silenced {silence.shown(silence is found[-1])}; {silence.matching}"))


async def _listing(log: JobLog, arguments: argparse.Namespace) -> tuple[list[Silence], str]:
    """The silences, and the zone of their times."""
    found = await _silences(log, "true", "true" if arguments.all else NOT_OVER, limit=arguments.n)
    return found, log.session.zone


def _list(answers: Answers[tuple[list[Silence], str]], arguments: argparse.Namespace) -> None:
    """Print the silences."""
    pairs = [(host, silence) for host, (found, _) in answered(answers) for silence in found]
    if arguments.targets:
        # as silences.sql has them
        order = ["in force", "planned"]
        pairs.sort(key=lambda pair: order.index(state) if (state := pair[1].as_json["state"]) in order else len(order))
        del pairs[arguments.n :]
    zone = next((zone for _, (_, zone) in answered(answers)), "")
    if arguments.json:
        show_json(host_objects(((host, silence.as_json) for host, silence in pairs), answers))
    elif not pairs and len(answered(answers)) == len(answers):
        print("nobody has ever silenced a job" if arguments.all else "no job is silenced, and no silence is planned")
    else:
        columns = ("ID", "JOBS", "PATTERN", "STATE", heading("FROM", zone), "UNTIL", "BY", "REASON")
        rows = [Row(silence.cells) for _, silence in pairs]
        cut = {"PATTERN": NAME, "REASON": PROSE}
        table = Table(columns, rows, (0, 4, 0, 3, 5, 1, 2, 0), cut, right=("ID", "JOBS"))
        show(hosted(table, [host for host, _ in pairs], answers), arguments.wide)


@in_job_log
def _end(log: JobLog, arguments: argparse.Namespace) -> None:
    """End the silences that are meant, and print which."""
    which = arguments.which
    by_id = isinstance(which, int)
    condition = "s.silence_id = %s" if by_id else "s.pattern = upper(%s)"
    found = log.session.ask(_silences(log, condition, NOT_OVER, which))
    ended = log.rows(END, [silence.silence_id for silence in found], write=True) if found else []
    if not ended:
        what = f"with the id {which}" if by_id else f'of "{which}"'
        raise CommandFailed(f"no silence {what} is in force or planned: jobmonctl silences lists those that are")
    found = [silence for silence in found if (silence.silence_id,) in ended]
    for silence in found:
        print(clean(f"ended early: {silence.shown(silence is found[0])}"))


async def _silences(log: JobLog, condition: str, state: str, *parameters: object, limit: int = 1000) -> list[Silence]:
    """The silences that fulfil both conditions. Raises CommandFailed for a schema of a version that had none."""
    log.require_calendar("silences")
    query = fill(sql_file("ctl/silences.sql"), {"condition": condition, "state": state})
    rows = await log.asking(query, *parameters, limit)
    return [Silence(*row) for row in rows]
