"""jobmonctl ack: deletes failures from job_check_log and ends crashed runs, so that they no longer alert; later failures stay."""

import argparse

from check_jobmon.config.connection_options import option
from check_jobmon.connection.session import Rows
from check_jobmon.ctl.arguments import (
    add_session_arguments,
    add_wide_argument,
    add_yes_argument,
    confirm,
    job_id_or_name,
)
from check_jobmon.ctl.connecting import JobLog, in_job_log
from check_jobmon.ctl.run_queries import run_with_id, runs, table
from check_jobmon.ctl.table import show
from check_jobmon.sql_files import sql_file
from check_jobmon.text import clean, counted

END = "SELECT c.job_id, session_user::text FROM unnest(%s::bigint[]) AS c(job_id) WHERE @schema@.ack_crash(c.job_id)"
LOGGED = "SELECT l.job_id FROM @schema@.job_log AS l WHERE l.job_id = ANY (%s::bigint[]) ORDER BY l.job_id DESC"
LISTED = 20
"""Failures that are listed before the question; the others are counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    option(parser, "which NAME|JOB_ID", "name of a job (in any letter case), or job_id of a run", job_id_or_name)
    add_session_arguments(parser)
    add_yes_argument(parser)
    add_wide_argument(parser)


@in_job_log
def run(log: JobLog, arguments: argparse.Namespace) -> None:
    """List the failures, ask, remove them, report."""
    seen = _failures(log, arguments.which)
    if not seen:
        print("nothing to acknowledge: job_check_log has no such failure, and no such run has crashed")
        return
    job_ids, alert_codes, names = map(list, zip(*seen, strict=True))
    name = clean(names[0])
    crashed = [job_id for job_id, code, _ in seen if not code]
    ending = f"; of these, {counted(len(crashed), 'crashed run')} would be ended as failed" if crashed else ""
    print(f"{counted(len(seen), 'failure')} of {name} that would no longer alert{ending}:")
    _list(log, job_ids, arguments.wide)
    confirm(f"Take {'them' if len(seen) > 1 else 'it'} out of job_check_log?", arguments)
    removed = log.rows(sql_file("ctl/ack.sql"), job_ids, alert_codes, write=True)
    removed += log.rows(END, crashed, write=True) if crashed else []
    if removed:
        ids = ", ".join(str(row[0]) for row in removed[:LISTED]) + (", …" if len(removed) > LISTED else "")
        print(f"removed by {clean(removed[0][1])}: {counted(len(removed), 'failure')} of {name} (job {ids})")
    if len(removed) < len(seen):
        print(f"gone by themselves meanwhile: {counted(len(seen) - len(removed), 'failure')}")


def _failures(log: JobLog, which: int | str) -> Rows:
    """The job_id, alert code and name of each failure. Raises CommandFailed for a run or name that is not known."""
    condition = "l.job_id = %s" if isinstance(which, int) else "l.job_name = upper(%s)"
    seen = log.rows(sql_file("ctl/ack_failures.sql").replace("@condition@", condition), which, which)
    if seen:
        if not log.rows("SELECT has_table_privilege('@schema@.job_check_log', 'DELETE')")[0][0]:
            raise log.refused(f"change {log.schema}.job_check_log")
    elif isinstance(which, int):
        run_with_id(log, which)
    else:
        log.session.ask(log.require_name(which))
    return seen


def _list(log: JobLog, job_ids: list[int], wide: bool) -> None:
    """Print the failed runs, newest first; job_log_clear may have deleted some."""
    logged = [row[0] for row in log.rows(LOGGED, job_ids)]
    if logged:
        found = log.session.ask(runs(log, "SELECT unnest(%s::bigint[]) AS job_id", logged[:LISTED]))
        show(table(found, log.session.zone), wide)
    if len(logged) > LISTED:
        print(f"and {len(logged) - LISTED} more")
    if len(logged) < len(job_ids):
        print(f"{counted(len(job_ids) - len(logged), 'run')} of them no longer in the log")
