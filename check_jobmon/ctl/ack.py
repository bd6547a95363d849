"""jobmonctl ack: take failures out of job_check_log, which never alert again then; never one that nobody has seen."""

import argparse
from typing import TYPE_CHECKING

from check_jobmon.ctl.parser import add_command, add_yes_argument, agreed, job_id_or_name
from check_jobmon.text import clean, counted

if TYPE_CHECKING:
    from check_jobmon.ctl.runner import JobLog

SEEN = "SELECT l.job_id, l.alert_code FROM @schema@.job_check_log AS l WHERE l.alert_code > 1 AND {} ORDER BY l.job_id"
NAME = "SELECT left(l.job_name, 500) FROM @schema@.job_check_log AS l WHERE l.job_id = %s LIMIT 1"
LOGGED = "SELECT count(*) FROM @schema@.job_log AS l WHERE l.job_id = ANY (%s::bigint[])"
# Just what was seen, and as it was seen: a run that was under way when asked can have a smaller job_id than one that had
# failed by then, and a run that failed as a warning can fail again as critical.
REMOVE = """
WITH gone AS (
    DELETE FROM @schema@.job_check_log AS l
          USING unnest(%s::bigint[], %s::integer[]) AS seen(job_id, alert_code)
          WHERE l.job_id = seen.job_id
            AND l.alert_code = seen.alert_code
      RETURNING l.job_id
)
SELECT g.job_id, session_user::text
  FROM gone AS g
 ORDER BY g.job_id
"""
LISTED = 20
"""Failures that are listed before the question; the rest is counted."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "ack",
        run,
        "stop a job's failures from alerting",
        "Takes the failures of a job, or a single one, out of job_check_log, so that they\n"
        "alert no more: for a job that failed and can never be run successfully again.\n"
        "(Any other job's next success does so by itself.) Only what is listed goes: a\n"
        "run that fails meanwhile still alerts. The log itself stays. It takes the right\n"
        "to DELETE from job_check_log.",
        "  jobmonctl ack -d etl 'old import'\n  jobmonctl ack -d etl 4711",
    )
    parser.add_argument(
        "which", type=job_id_or_name, metavar="NAME|JOB_ID", help="job, in any case, or one run by its number"
    )
    add_yes_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Say, ask, remove, report."""
    from check_jobmon.ctl.runner import talk

    def work(log: "JobLog") -> int:
        seen = _seen(log, arguments.which)
        if not seen:
            print("nothing to acknowledge: no failure of it is in job_check_log")
            return 0
        name = clean(log.rows(NAME, seen[0][0])[0][0])
        print(f"{counted(len(seen), 'failure')} of {name} that would alert no more:")
        _list(log, [job_id for job_id, _ in seen])
        if not agreed(
            "Take them out of job_check_log?" if len(seen) > 1 else "Take it out of job_check_log?", arguments
        ):
            return 1
        removed = log.rows(REMOVE, *map(list, zip(*seen, strict=True)), write=True)
        if removed:
            ids = ", ".join(str(row[0]) for row in removed[:LISTED]) + (", …" if len(removed) > LISTED else "")
            print(f"removed by {clean(removed[0][1])}: {counted(len(removed), 'failure')} of {name} (job {ids})")
        if len(removed) < len(seen):
            print(f"gone by themselves meanwhile: {counted(len(seen) - len(removed), 'failure')}")
        return 0

    return talk(arguments, work)


def _seen(log: "JobLog", which: int | str) -> list[tuple[int, int]]:
    """The failures meant. Raises NotDone for a run or a name that is not known."""
    from check_jobmon.ctl.run_queries import run_with_id
    from check_jobmon.ctl.runner import NotDone

    condition = "l.job_id = %s" if isinstance(which, int) else "l.job_name = upper(%s)"
    seen = [(row[0], row[1]) for row in log.rows(SEEN.format(condition), which)]
    if seen:
        if not log.rows("SELECT has_table_privilege('@schema@.job_check_log', 'DELETE')")[0][0]:
            raise NotDone(
                f'role "{log.session.user}" may not change {log.schema}.job_check_log: '
                f"GRANT DELETE ON {log.schema}.job_check_log TO that role, or name another role with -U"
            )
    elif isinstance(which, int):
        run_with_id(log, which)
    elif unknown := log.unknown(which):
        raise unknown
    return seen


def _list(log: "JobLog", job_ids: list[int]) -> None:
    """The failed runs, newest first; job_log_clear may have deleted some."""
    from check_jobmon.ctl.run_queries import runs, table
    from check_jobmon.ctl.table import show

    newest = (
        "SELECT l.job_id FROM @schema@.job_log AS l WHERE l.job_id = ANY (%s::bigint[]) ORDER BY l.job_id DESC LIMIT %s"
    )
    found = runs(log, newest, job_ids, LISTED)
    if found:
        show(table(found))
    logged = log.rows(LOGGED, job_ids)[0][0]
    if logged > LISTED:
        print(f"and {logged - LISTED} more")
    if logged < len(job_ids):
        print(f"{counted(len(job_ids) - logged, 'run')} of them no longer in the log")
