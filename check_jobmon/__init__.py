"""check_jobmon: a Nagios/Icinga plugin and the PostgreSQL job log that it reads. Nothing here but the version."""

__version__ = "0.1.0"
