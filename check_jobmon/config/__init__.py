"""What a site sets: connection options, hosts, the configuration file, job_check_config. Here is what its modules raise."""


class ConfigFileError(Exception):
    """The configuration file can't be read, or has mistakes. One line: where, what."""
