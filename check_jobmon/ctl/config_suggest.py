"""jobmonctl config suggest: reads the runs of jobs, and prints what the configuration file could say of them."""

import argparse
from datetime import datetime, timedelta, timezone

from check_jobmon.config.config_table import ConfigTable
from check_jobmon.config.connection_options import filled, option
from check_jobmon.config.export import write
from check_jobmon.config.job_fields import JobConfig
from check_jobmon.config.suggestion import Run, suggest
from check_jobmon.ctl.arguments import age
from check_jobmon.ctl.connecting import CommandFailed, JobLog, connected
from check_jobmon.schema.scripts import REFUSAL
from check_jobmon.sql_files import fill, sql_file
from check_jobmon.text import title

RUNS = 15_000
"""How many of a job's latest runs are read: ten days of a job that runs every minute."""


def add_suggest_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    names = "job to look at, in any letter case, configured or not (default: all jobs that are not configured)"
    option(parser, "names NAME", names, filled, nargs="*")
    zone = "time zone of the schedules, as Europe/Berlin (default: UTC)"
    option(parser, "--timezone ZONE", zone, filled, default="UTC")
    option(parser, "--since INTERVAL", "how old runs may be that count (default: 400d)", age, default=age("400d"))


def run_suggest(arguments: argparse.Namespace) -> None:
    """Print a configuration file. Raises ExpectedError."""
    with connected(arguments) as (session, schema):
        log = JobLog(session, schema, arguments.command)
        zone, number, offset = _zone(log, arguments.timezone)
        table = ConfigTable(session, schema)
        with session.transaction("READ ONLY"):
            names = table.upper(arguments.names)
        unconfigured = sql_file("ctl/unconfigured_names.sql")
        placeholders = {"job_name": "asked.job_name", "limit": "asked.number", "refusal": REFUSAL}
        query = fill(sql_file("ctl/runs_since.sql"), placeholders)
        lines: list[str] = []
        for name in dict.fromkeys(names) if names else [row[0] for row in log.rows(unconfigured)]:
            rows = log.rows(query, name, RUNS, zone, arguments.since)
            if names and not rows:
                session.ask(log.require_name(name))
            values, why = suggest([Run(_time(*row[:2]), *row[2:]) for row in rows], _time(number, offset))
            if not values:
                lines.append(f"  # {title(name)}: {why[0]}\n")
                continue
            with session.transaction("READ ONLY"):
                entry = write([JobConfig(name, timezone=zone, **values)], table.upper)
            lines += [f"  # {line}\n" for line in why] + [entry.removeprefix("jobs:\n")]
    nothing = " {}" if all(line.startswith("  #") for line in lines) else ""
    print(f"# as suggested by: jobmonctl config suggest --timezone {zone}\njobs:{nothing}\n{''.join(lines)}", end="")


def _zone(log: JobLog, name: str) -> tuple[str, float, int]:
    """The time zone's name as the server has it, and the parameters of _time() for the present time. Raises CommandFailed."""
    log.require_calendar("schedules")
    if refusal := log.rows("SELECT @schema@.check_schedule(NULL, %s)", name)[0][0]:
        raise CommandFailed(refusal)
    zone, number, offset = log.rows(sql_file("ctl/time_zone.sql"), name)[0]
    return zone, number, offset


def _time(number: float, offset: int) -> datetime:
    """The time that is so many seconds after 1970 began, with an offset from UTC in seconds."""
    return datetime.fromtimestamp(number, timezone(timedelta(seconds=offset)))
