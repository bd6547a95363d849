"""The check of one database, from the arguments to the result. --targets takes its steps one by one, for many at once."""

import argparse
from collections.abc import Callable

from check_jobmon.config.hosts import locate
from check_jobmon.connection import ExpectedError
from check_jobmon.connection.errors import DatabaseUnreachable
from check_jobmon.connection.session import Pinned, Session
from check_jobmon.judging.check import acquire, judged
from check_jobmon.judging.job_log import Inquiry
from check_jobmon.judging.result import CONFIGURING, CONNECTING, QUERYING, STATES, UNKNOWN, Result, failed
from check_jobmon.judging.selection import Selection


def check(arguments: argparse.Namespace, deadline: float, report: Callable[[str], None]) -> Result:
    """Check the database. The server has to have answered by the deadline; `report` is called with each stage."""
    try:
        report(CONFIGURING)
        location = locate(arguments)
        session = Session(location.parameters)
        report(CONNECTING)
        session.connect()
        report(QUERYING)
        return session.ask(judging(arguments, session, location.schema, deadline))
    except ExpectedError as error:
        return result_of(error, arguments)


async def judging(arguments: argparse.Namespace, session: Pinned, schema: str, deadline: float) -> Result:
    """Ask for the jobs in the schema, and judge them."""
    log = Inquiry(session, schema, deadline)
    selection = Selection(
        tuple(arguments.job), tuple(arguments.exclude), logged=arguments.per_job or arguments.verbose > 0
    )
    jobs = await acquire(log, selection, arguments.failures, arguments.verbose, not arguments.no_silences)
    if arguments.output == "openmetrics":
        jobs.history = await log.history(jobs.jobs)
    with_jobs = arguments.per_job or arguments.output == "json"
    return judged(log, jobs, arguments.verbose, arguments.crashed, arguments.perfdata, with_jobs)


def result_of(error: ExpectedError, arguments: argparse.Namespace) -> Result:
    """The result of a check that ended with an error."""
    unreachable = isinstance(error, DatabaseUnreachable)
    return failed(STATES.index(arguments.connection_error) if unreachable else UNKNOWN, str(error))
