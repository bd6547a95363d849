"""The spool: runs whose log could not be written, one file each, until they are delivered. Prints nothing."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import resource
import shlex
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from check_jobmon.text import clean, storable

if TYPE_CHECKING:
    from check_jobmon.recording.api import Recorder

INHERITED = 100
"""The lock's descriptor in a command that holds it, or more."""
LARGEST = 1_000_000
"""Bytes. No file of ours is larger."""
VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "service": "PGSERVICE",
}
"""What says where a job log is, where no option does. Not asked of libpq, for a run is kept although that can't be loaded."""
LEFT_OVER = 600
"""Seconds after which the writer of an unfinished file is taken for dead."""
REFUSED = "refused"
"""The folder in the spool's for what can't be logged; beside each file its name with `.reason` has why, in one line."""


def default_folder() -> Path:
    """Where the spool is if not told: $XDG_STATE_HOME/check_jobmon/spool; where that is not set, or relative,
    /var/spool/check_jobmon for root, ~/.local/state/check_jobmon/spool for others (XDG Base Directory Specification)."""
    if os.path.isabs(state := os.environ.get("XDG_STATE_HOME", "")):
        return Path(state) / "check_jobmon" / "spool"
    home = os.path.expanduser("~")
    if os.geteuid() == 0 or not os.path.isabs(home):
        return Path("/var/spool/check_jobmon")
    return Path(home, ".local", "state", "check_jobmon", "spool")


def target(parameters: Mapping[str, Any], schema: str) -> str:
    """What names the job log that a run belongs to: where it is, as far as that was said, and as whom. No password."""
    said = {**_parsed(parameters.get("conninfo", "")), **parameters}
    where = {name: said.get(name, os.environ.get(variable, "")) for name, variable in VARIABLES.items()}
    return storable(" ".join(sorted(f"{name}={value}" for name, value in {**where, "schema": schema}.items() if value)))


def _parsed(conninfo: str) -> dict[str, Any]:
    if not conninfo:
        return {}
    try:
        from psycopg.conninfo import conninfo_to_dict
    except Exception:  # without libpq what is written as "name=value ..." can be read
        return dict(word.split("=", 1) for word in shlex.split(conninfo))
    return conninfo_to_dict(conninfo)


@dataclass(frozen=True)
class PastRun:
    """A run that is over and not logged, or not to its end. Its times are in UTC, as ISO 8601 writes them.

    `job_id` is there if add_job() had answered before the connection was lost, `pid` is that of the backend, 0 if there
    was none. `key` makes it the same run however often it is delivered.
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

    def deliver(self, recorder: "Recorder") -> int:
        """Log it, unless that was done already; its job_id. Raises psycopg.Error."""
        return recorder.add_past_run(
            self.key,
            self.name,
            self.start,
            self.end,
            self.alert_code,
            self.action,
            self.message,
            self.job_id,
            self.pid,
        )


def timestamp(seconds: float) -> str:
    """Seconds since 1970 in ISO 8601.

    >>> timestamp(1700000000.25)
    '2023-11-14T22:13:20.250000+00:00'
    """
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")


class FolderRefused(PermissionError):
    """Others could put in runs of theirs, or take away ours. `strerror` says why and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EPERM, f"{reason}, or name another with --spool")


@dataclass(frozen=True)
class Spool:
    """A folder of past runs, of its user alone: neither read nor written if another user may write to it.

    Files of other users in it are never read.
    """

    folder: Path

    def refusal(self) -> str:
        """Why the folder is not used, and what to do; empty if it is, or isn't there yet."""
        try:
            self._trusted()
        except FolderRefused as error:
            return f"the spool folder {self.folder} is not used: {error.strerror}"
        except OSError:
            pass  # who uses it says so
        return ""

    def _trusted(self) -> Path:
        """The folder, without symbolic links in its path. Raises OSError, FolderRefused among it."""
        folder = self.folder.resolve(strict=True)
        status = folder.stat()
        above = (parent.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) for parent in folder.parents)
        if not stat.S_ISDIR(status.st_mode):
            raise FolderRefused("it is not a folder")
        if status.st_uid != os.geteuid():
            raise FolderRefused(f"it belongs to another user (uid {status.st_uid})")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise FolderRefused("other users may write to it: chmod 700 it")
        if stat.S_IWOTH in above:
            raise FolderRefused("other users may write to a folder above it")
        return folder

    def _made(self) -> Path:
        """As _trusted(), of a folder that is made if it isn't there."""
        # each by itself: the umask alone would decide on those above it
        for folder in (*reversed(self.folder.parents), self.folder):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        return self._trusted()

    def write(self, run: PastRun) -> Path:
        """Keep a run. The file is there as a whole or not at all, also after a crash. Raises OSError."""
        place = self._made()
        path = place / f"{run.start.replace(':', '')}-{run.key}.json"
        unfinished = path.with_suffix(".tmp")
        try:
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                values = {name: storable(v) if isinstance(v, str) else v for name, v in asdict(run).items()}
                json.dump(values, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        with _opened(place, os.O_RDONLY | os.O_DIRECTORY) as folder:
            os.fsync(folder)
        return path

    def files(self) -> "Iterator[tuple[Path, PastRun | str]]":
        """The files that wait, the oldest first: each as the run that it is, or why it is none.

        What its writer was killed over is among them. What isn't a file of ours is passed over.
        """
        with contextlib.suppress(OSError):
            for path in sorted([*(folder := self._trusted()).glob("*.json"), *folder.glob("*.tmp")]):
                found = _read(path)
                if found is not None:
                    yield path, found

    def runs(self, target: str) -> Iterator[tuple[Path, PastRun]]:
        """The runs for a job log, the oldest first."""
        return ((path, run) for path, run in self.files() if isinstance(run, PastRun) and run.target == target)

    def refused(self) -> list[tuple[Path, str]]:
        """The files that were set aside, and why."""
        found = []
        with contextlib.suppress(OSError):
            for path in sorted((self._trusted() / REFUSED).glob("*.reason")):
                found.append((path.with_suffix(""), path.read_text("utf-8", "replace").strip()))
        return found

    def deliver(
        self, recorder: "Recorder", target: str, go_on: Callable[[], bool] = lambda: True
    ) -> tuple[int, list[str]]:
        """Log what is there for a job log, as long as `go_on` says so; how many runs, and why others were refused.

        What can never be logged is set aside. What the server refuses for another reason than what is in the file stays, and
        so does all if the server is gone: raises psycopg.OperationalError then.
        """
        import psycopg

        delivered, refused = 0, []
        for path, run in self.files():
            if not go_on():
                break
            if isinstance(run, str):
                refused.append(_set_aside(path, run))
                continue
            if run.target != target:
                continue
            try:
                run.deliver(recorder)
            except psycopg.DataError as error:
                refused.append(_set_aside(path, error.diag.message_primary or str(error)))
                continue
            except psycopg.Error as error:
                if isinstance(error, psycopg.OperationalError) and (error.sqlstate or "08").startswith(("08", "57P")):
                    raise
                refused.append(f"{path} is refused: {error.diag.message_primary or error}")
                continue
            # a crash before this makes it be delivered again, which adds nothing
            with contextlib.suppress(OSError):
                path.unlink()
            delivered += 1
        return delivered, refused

    @contextlib.contextmanager
    def lock(self, target: str, name: str) -> Iterator[str | None]:
        """Hold a job's lock on this machine, for this user; gives None, or who has it instead. Raises OSError.

        What is started meanwhile inherits it, and holds it on if this process is killed.
        """
        place = self._made()
        digest = hashlib.sha256(f"{target} {name.upper()}".encode("utf-8", "surrogatepass")).hexdigest()
        # never deleted: who waits for the deletion of a file locks a file that is no more
        with _opened(place / f"{digest[:32]}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(file, 20, 0).decode("ascii", "replace").strip()
                yield f"the job is under way on this machine{f' (process {holder})' if holder.isdigit() else ''}"
                return
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
            # not where a script expects a descriptor of its own
            held = fcntl.fcntl(file, fcntl.F_DUPFD, min(INHERITED, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1))
            try:
                yield None
            finally:
                # for all that have inherited it: the command has ended
                fcntl.flock(held, fcntl.LOCK_UN)
                os.close(held)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(path: Path) -> PastRun | str | None:
    """The run in a file, or why there is none; None for what isn't a file of ours, and for what may still be written."""
    try:
        with _opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) as file:
            status = os.fstat(file)
            if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
                return None
            if path.suffix == ".tmp" and time.time() - status.st_mtime < LEFT_OVER:
                return None
            if status.st_size > LARGEST:
                return "it is too large for a run"
            run = PastRun(**json.loads(os.read(file, LARGEST).decode()))
    except OSError:
        return None
    except (ValueError, TypeError, RecursionError) as error:
        return f"it is no run, or not a whole one: {error}"
    for part in fields(run):
        value = getattr(run, part.name)
        if isinstance(value, bool) or not isinstance(value, part.type):  # type: ignore[arg-type]
            return f"it is no run: its {part.name} is of type {type(value).__name__}"
    return run


def _set_aside(path: Path, reason: str) -> str:
    """Put a file where it is tried no more; a line that says so."""
    reason = clean(reason, 500)
    aside = path.parent / REFUSED
    try:
        aside.mkdir(mode=0o700, exist_ok=True)
        path.rename(aside / path.name)
        with _opened(aside / f"{path.name}.reason", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW) as file:
            os.write(file, f"{reason}\n".encode())
    except OSError as error:
        return f"{path} can't be logged ({reason}), nor set aside ({error.strerror})"
    return f"{path} can't be logged ({reason}): it is set aside in {aside}"
