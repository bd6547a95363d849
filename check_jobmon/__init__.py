"""check_jobmon: a Nagios/Icinga plugin and the PostgreSQL job log that it reads. Nothing here but the version and job()."""

TYPE_CHECKING = False  # as mypy knows it, without the import

if TYPE_CHECKING:
    from check_jobmon.recording.async_job import async_job as async_job
    from check_jobmon.recording.async_job import logged as logged
    from check_jobmon.recording.python_job import JobCancelled as JobCancelled
    from check_jobmon.recording.python_job import JobLocked as JobLocked
    from check_jobmon.recording.python_job import job as job

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`check_jobmon.job` and its kin, imported when they are asked for: the plugin does without."""
    if name in ("JobCancelled", "JobLocked", "async_job", "job", "logged"):
        from check_jobmon.recording import async_job, python_job

        return getattr(python_job, name, None) or getattr(async_job, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
