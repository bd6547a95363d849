"""jobmonctl bridge: copies the jobs and runs of pg_cron or pgAgent into the log from now on, or lists what is bridged."""

import argparse
import json
from operator import attrgetter
from typing import Any

from check_jobmon.config.config_file import read_defaults
from check_jobmon.config.config_table import COLUMNS
from check_jobmon.config.connection_options import filled, option, path
from check_jobmon.config.job_fields import JobConfig
from check_jobmon.config.yaml_nodes import read_bytes
from check_jobmon.connection.session import Session
from check_jobmon.connection.trust import refuse_untrusted
from check_jobmon.ctl.arguments import add_session_arguments
from check_jobmon.ctl.connecting import in_session
from check_jobmon.ctl.uninstall import owned
from check_jobmon.schema.statements import run as execute
from check_jobmon.sql_files import fill, quoted, sql_file
from check_jobmon.text import clean

LEFT_OUT = ("job_name", "active", "schedule", "timezone", "depends_on")
"""What a job's row has from its scheduler or from the bridge, whatever the defaults say."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    option(parser, "name SCHEDULER", "scheduler to bridge: pg_cron or pgagent (default: list them)", filled, nargs="?")
    add_session_arguments(parser, 600)
    which = parser.add_mutually_exclusive_group()
    text = "configuration file whose 'defaults' the jobs are watched by (default: warn 10m, error 1h, or as before)"
    option(which, "--defaults FILE", text, path)
    option(which, "--remove", "stop copying, and remove what the bridge has configured; the logged runs stay")


def run(arguments: argparse.Namespace) -> None:
    """Bridge, remove or list."""
    if arguments.name is None and (arguments.remove or arguments.defaults):
        arguments.refuse("it needs a SCHEDULER: pg_cron or pgagent")
    _bridge(arguments)


def _columns(defaults: JobConfig) -> dict[str, Any]:
    """The values of job_check_config's columns, except those LEFT_OUT."""
    values = {column: attrgetter(key)(defaults) for column, key in COLUMNS.items() if column not in LEFT_OUT}
    return {column: value for column, value in values.items() if value is not None}


@in_session
def _bridge(session: Session, schema: str, arguments: argparse.Namespace) -> None:
    """Do it in one transaction, as the schema's owner, and print the lines that bridge.sql gives."""
    file = arguments.defaults
    defaults = json.dumps(_columns(read_defaults(file, read_bytes(file))), default=str) if file else None
    refuse_untrusted(session, schema)
    owner = owned(
        session, schema, f'run "jobmonctl bootstrap -d {session.dbname}", or name another with -d or --schema'
    )
    script = fill(sql_file("ctl/bridge.sql"), {"schema": quoted(schema)})
    action = "list" if arguments.name is None else "remove" if arguments.remove else "bridge"
    session.lock_seconds = arguments.timeout
    with session.transaction():
        execute(session, "SET LOCAL ROLE {}", owner)
        refuse_untrusted(session, schema)
        values = {"action": action, "name": arguments.name, "defaults": defaults}
        lines = session.execute(script.encode(), values).fetchall()
    for (line,) in lines:
        print(clean(line, 1000))
