"""check_jobmon: a Nagios/Icinga plugin and the PostgreSQL job log that it reads. Nothing here but the version and job()."""

TYPE_CHECKING = False  # as mypy knows it, without the import

if TYPE_CHECKING:
    from check_jobmon.recording.python_job import job as job

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`check_jobmon.job`, imported when it is asked for: the plugin does without."""
    if name == "job":
        from check_jobmon.recording.python_job import job

        return job
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
