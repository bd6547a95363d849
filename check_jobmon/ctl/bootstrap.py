"""jobmonctl bootstrap: installs or upgrades the schema, by hand or from cron."""

import argparse

import psycopg

from check_jobmon.config.connection_options import option
from check_jobmon.connection.errors import one_line
from check_jobmon.connection.session import Session
from check_jobmon.ctl.arguments import add_session_arguments
from check_jobmon.ctl.connecting import CommandFailed, in_session
from check_jobmon.ctl.waiting import waiting
from check_jobmon.schema.install import bootstrap
from check_jobmon.schema.layout import EVERY
from check_jobmon.schema.rights import superuser_sql
from check_jobmon.text import clean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser, 600)
    option(parser, "-q --quiet", "print nothing unless something changed")
    text = "create only the link's role, none for people; print the statements that create them"
    option(parser, "--no-roles", text)
    text = "also mark the schema as that of an extension pg_jobmon, for pg_partman and mimeo to log into"
    option(parser, "--as-extension", text)
    option(parser, "--partition LENGTH", f"partition a new log by time: {', '.join(EVERY)}", choices=EVERY)
    option(parser, "--check", "change nothing; print what would be changed")
    text = "change nothing; print the SQL that a superuser has to run before this role can bootstrap"
    option(parser, "--print-superuser-sql", text)


@in_session
def run(session: Session, schema: str, arguments: argparse.Namespace) -> int:
    """Bootstrap, and print in one line what was done; or print what a superuser has to do first."""
    try:
        if arguments.print_superuser_sql:
            print(superuser_sql(session, schema, with_roles=not arguments.no_roles))
            return 0
        with waiting(lambda: f"installing or upgrading schema {schema}: a large log takes time"):
            report = bootstrap(
                session,
                schema,
                with_roles=not arguments.no_roles,
                check=arguments.check,
                as_extension=arguments.as_extension,
                partition=arguments.partition,
            )
    except psycopg.Error as error:
        raise CommandFailed(one_line(error)) from None
    if report.changed or report.schedules or not arguments.quiet:
        print(clean(str(report)))
    return 1 if arguments.check and report.changed else 0
