"""The one error of bootstrap."""


class BootstrapError(Exception):
    """Why the schema can't be installed here, and what to do about it, in one line."""
