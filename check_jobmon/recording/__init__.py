"""Logging runs from outside of SQL: check_jobmon.job() for Python, `jobmonctl run` for commands, and the spool. Prints nothing.

This file has only what doesn't need psycopg: the alert codes, and the text of an exception.
"""

from typing import Any

OK, WARNING, CRITICAL = 1, 2, 3
"""The alert codes (reference text, check_job_status)."""

LOOK_INTERVAL, LOOK_LATER = 1, 30
"""Seconds between two looks at whether a run's session is lost or the run cancelled; at most so many after looks that failed."""


def reason(error: Any) -> str:
    """An exception in one line; one of psycopg's without the statement and its position.

    >>> reason(FileNotFoundError(2, "No such file or directory")), reason(ValueError("too long")), reason(MemoryError())
    ('No such file or directory', 'too long', 'MemoryError()')
    """
    if hasattr(error, "diag"):  # only psycopg's have it, so psycopg is imported already
        from check_jobmon.connection.errors import one_line

        return one_line(error)
    return getattr(error, "strerror", None) or str(error) or repr(error)
