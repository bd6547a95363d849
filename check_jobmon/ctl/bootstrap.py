"""jobmonctl bootstrap: install or upgrade the schema, by hand or from cron."""

import argparse
import sys

from check_jobmon.config.connection_options import add_connection_arguments
from check_jobmon.ctl.parser import add_timeout_argument
from check_jobmon.text import clean


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "bootstrap",
        help="install or upgrade the job log's schema",
        description="Install the job log's schema, or upgrade it, and make sure that its link can connect. "
        "Running it again changes nothing. Nothing that is already there is dropped or overwritten.",
        epilog="Example, for cron: jobmonctl bootstrap -q -d etl",
    )
    add_connection_arguments(parser)
    add_timeout_argument(parser, 600)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing unless something changed")
    parser.add_argument(
        "--no-roles",
        action="store_true",
        help="make no role to log with and none to monitor with, but print the GRANTs to make by hand",
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing, but say what would be: exit 0 if nothing, 1 if anything"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Bootstrap, and say in one line what was done or why it can't be."""
    import psycopg

    from check_jobmon.config.hosts import ConfigFileError, locate
    from check_jobmon.connection.errors import BootstrapError, CheckImpossible, DatabaseUnreachable, one_line
    from check_jobmon.ctl.runner import connect
    from check_jobmon.schema.install import bootstrap

    try:
        location = locate(arguments)
        with connect(arguments, location) as session:
            report = bootstrap(session, location.schema, with_roles=not arguments.no_roles, check=arguments.check)
    except (BootstrapError, ConfigFileError, CheckImpossible, DatabaseUnreachable) as error:
        print(f"jobmonctl bootstrap: {clean(str(error))}", file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(f"jobmonctl bootstrap: {one_line(error)}", file=sys.stderr)
        return 1
    if report.changed or not arguments.quiet:
        print(clean(str(report)))
    return 1 if arguments.check and report.changed else 0
