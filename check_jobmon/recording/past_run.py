"""A run that could not be logged in time, and its format in a file of the spool: JSON, an object of PastRun's fields."""

import json
import uuid
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone

from check_jobmon.text import storable


@dataclass(frozen=True)
class PastRun:
    """A run that has ended and is not logged, or not to its end. The times are in UTC, in ISO 8601.

    `target` is the key of its job log (job_log_key()). `job_id` is set if add_job() had answered before the connection was
    lost; `pid` is that of the backend, or 0 if there was no connection; `host` and `process` say which process ran it. The
    database logs a run with the same `key` once, however often it is delivered.
    """

    target: str
    name: str
    start: str
    end: str
    alert_code: int
    action: str
    message: str
    job_id: int | None = None
    pid: int = 0
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    host: str = ""
    process: int = 0

    @classmethod
    def from_json(cls, data: bytes) -> "PastRun":
        """The run in a file. Raises ValueError with one line that says what is wrong with the data."""
        try:
            run = cls(**json.loads(data.decode()))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"it is not a complete run: {error}") from None
        for part in fields(run):
            value = getattr(run, part.name)
            if isinstance(value, bool) or not isinstance(value, part.type):  # type: ignore[arg-type]
                raise ValueError(f"it is not a run: its {part.name} is of type {type(value).__name__}")
        return run

    def to_json(self) -> str:
        """The text of the run's file, without anything that the database can't store."""
        values = {name: storable(v) if isinstance(v, str) else v for name, v in asdict(self).items()}
        return json.dumps(values, indent=1)


def timestamp(seconds: float) -> str:
    """Seconds since 1970 in ISO 8601.

    >>> timestamp(1700000000.25)
    '2023-11-14T22:13:20.250000+00:00'
    """
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")
