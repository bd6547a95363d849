"""A site's settings: connection options, hosts, the configuration file, job_check_config. Here: their exception."""

from check_jobmon.connection import ExpectedError


class ConfigFileError(ExpectedError):
    """The configuration file can't be read, or has mistakes. One line: where, what."""
