"""Partitions of job_log and job_detail: whether there are any, how long they are, and making those that come next."""

from psycopg import Rollback

from check_jobmon.connection.session import Session
from check_jobmon.schema.statements import run, value

EVERY = ("month", "week", "day")
"""How long a partition can be."""


def is_partitioned(connection: Session, home: int) -> bool:
    """Whether the tables in the schema with that oid are partitioned."""
    query = "SELECT relkind = 'p' FROM pg_class WHERE relnamespace = %(home)s AND relname = 'job_log'"
    return bool(value(connection, query, home=home))


def set_partitioning(connection: Session, schema: str, every: str) -> bool:
    """Set how long the next partitions are. Returns whether that is a change."""
    if value(connection, "SELECT every FROM {}.partitioning", schema) == every:
        return False
    run(connection, "DELETE FROM {}.partitioning", schema)
    run(connection, "INSERT INTO {}.partitioning (every) VALUES (%(every)s)", schema, every=every)
    return True


def make_partitions(connection: Session, schema: str, owner: str, *, keep: bool) -> int:
    """Make the partitions of the times to come, and return how many, in transactions for which loggers hardly have to wait."""
    made = now = 0
    while True:
        with connection.transaction():
            run(connection, "SET LOCAL ROLE {}", owner)
            now = int(value(connection, "SELECT {}.make_partitions()", schema))
            if not keep:
                raise Rollback
        made += now
        if not (now and keep):
            return made
