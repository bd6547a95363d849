"""Connects to databases, and explains their errors. Here: what the exceptions with which a program may end have in common."""


class ExpectedError(Exception):
    """An error that the user can remedy, not a bug. Its text is one line: what happened, to what, and what to do about it."""
