"""The spool: a folder of runs that could not be logged in time, one file each, kept until they are delivered."""

import contextlib
import errno
import fcntl
import hashlib
import os
import resource
import shlex
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from check_jobmon.recording import reason
from check_jobmon.recording.past_run import PastRun
from check_jobmon.text import clean, storable

if TYPE_CHECKING:
    from check_jobmon.recording.recorder import Recorder

INHERITED = 100
"""The lowest number for the lock's descriptor in the command: scripts use the ones below for files of their own."""
LARGEST = 1_000_000
"""Bytes. A larger file was not written by us."""
VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "service": "PGSERVICE",
}
"""The variables that libpq uses for parameters that aren't given. Listed here, because libpq may be missing."""
LEFT_OVER = 600
"""Seconds after which an unfinished file counts as left over by a process that was killed."""
REFUSED = "refused"
"""The subfolder for files that can never be logged. Beside each, a file with `.reason` added to its name says why."""


def default_folder() -> Path:
    """The spool folder if --spool isn't given: $XDG_STATE_HOME/check_jobmon/spool; where that variable is unset or relative,
    /var/spool/check_jobmon for root, ~/.local/state/check_jobmon/spool for others (XDG Base Directory Specification)."""
    if os.path.isabs(state := os.environ.get("XDG_STATE_HOME", "")):
        return Path(state) / "check_jobmon" / "spool"
    home = os.path.expanduser("~")
    if os.geteuid() == 0 or not os.path.isabs(home):
        return Path("/var/spool/check_jobmon")
    return Path(home, ".local", "state", "check_jobmon", "spool")


def job_log_key(parameters: Mapping[str, Any], schema: str) -> str:
    """The name of a job log in the spool: the connection's place and user, as given, and the schema. Has no password."""
    given = {**_parsed(parameters.get("conninfo", "")), **parameters}
    where = {name: given.get(name, os.environ.get(variable, "")) for name, variable in VARIABLES.items()}
    return storable(" ".join(sorted(f"{name}={value}" for name, value in {**where, "schema": schema}.items() if value)))


def _parsed(conninfo: str) -> dict[str, Any]:
    if not conninfo:
        return {}
    try:
        from psycopg.conninfo import conninfo_to_dict
    except Exception:  # libpq is missing; a string like "host=db dbname=etl" can be split without it
        return dict(word.split("=", 1) for word in shlex.split(conninfo))
    return conninfo_to_dict(conninfo)


class FolderRefused(PermissionError):
    """Other users could add runs to the folder or remove ours. `strerror` says why, and what to do."""


@dataclass(frozen=True)
class Spool:
    """A folder of past runs of one user. It is neither read nor written if another user may write to it.

    Files in it that belong to other users are not read.
    """

    folder: Path

    def refusal(self) -> str:
        """Why the folder must not be used, and what to do; empty if it may be used, or doesn't exist yet."""
        try:
            self._trusted()
        except FolderRefused as error:
            return f"the spool folder {self.folder} is not used: {error.strerror}"
        except OSError:
            pass  # reading or writing the folder raises the same error
        return ""

    def _trusted(self) -> Path:
        """The folder, its path without symbolic links. Raises FolderRefused or another OSError."""
        folder = self.folder.resolve(strict=True)
        status = folder.stat()
        above = (parent.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) for parent in folder.parents)
        faults = {
            "it is not a folder": not stat.S_ISDIR(status.st_mode),
            f"it belongs to another user (uid {status.st_uid})": status.st_uid != os.geteuid(),
            "other users may write to it: chmod 700 it": status.st_mode & (stat.S_IWGRP | stat.S_IWOTH),
            "other users may write to a folder above it": stat.S_IWOTH in above,
        }
        for fault, is_so in faults.items():
            if is_so:
                raise FolderRefused(errno.EPERM, f"{fault}, or name another with --spool")
        return folder

    def _made(self) -> Path:
        """As _trusted(), but creates the folder if it doesn't exist."""
        # one by one: mkdir(parents=True) would create the parents with the umask's permissions
        for folder in (*reversed(self.folder.parents), self.folder):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        return self._trusted()

    def write(self, run: PastRun) -> Path:
        """Keep a run. Even after a crash there is a whole file or none. Raises OSError."""
        folder = self._made()
        path = folder / f"{run.start.replace(':', '')}-{run.key}.json"
        unfinished = path.with_suffix(".tmp")
        try:
            with _opened(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                with open(file, "w", encoding="utf-8", closefd=False) as text:
                    text.write(run.to_json())
                os.fsync(file)
            unfinished.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        with _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as entries:
            os.fsync(entries)
        return path

    def files(self) -> "Iterator[tuple[Path, PastRun | str]]":
        """The files that wait, the oldest first, each with its run, or with the reason why it can't be delivered.

        Among them are complete files whose writer was killed before it renamed them. Others' files are passed over.
        """
        with contextlib.suppress(OSError):
            folder = self._trusted()
            for path in sorted([*folder.glob("*.json"), *folder.glob("*.tmp")]):
                found = _read(path)
                if found is not None:
                    yield path, found

    def runs(self, target: str) -> Iterator[tuple[Path, PastRun]]:
        """The files with runs of one job log, the oldest first."""
        return ((path, run) for path, run in self.files() if isinstance(run, PastRun) and run.target == target)

    def refused(self) -> list[tuple[Path, str]]:
        """The files that were set aside, each with the reason."""
        found = []
        with contextlib.suppress(OSError):
            for path in sorted((self._trusted() / REFUSED).glob("*.reason")):
                found.append((path.with_suffix(""), path.read_text("utf-8", "replace").strip()))
        return found

    def deliver(
        self, recorder: "Recorder", target: str, go_on: Callable[[], bool] = lambda: True
    ) -> tuple[int, list[str]]:
        """Log the runs of one job log, while `go_on()`; returns how many, and for each that was refused a line that says why.

        A file that can never be logged is set aside. One that the server refuses for another reason stays, and the next is
        tried; if the server is gone, raises psycopg.OperationalError.
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
                recorder.add_past_run(run)
            except psycopg.DataError as error:
                refused.append(_set_aside(path, error.diag.message_primary or str(error)))
            except psycopg.Error as error:
                if isinstance(error, psycopg.OperationalError) and (error.sqlstate or "08").startswith(("08", "57P")):
                    raise
                refused.append(f"{path} is refused: {error.diag.message_primary or error}")
            else:
                # a crash before this line has the run delivered once more, which changes nothing
                with contextlib.suppress(OSError):
                    path.unlink()
                delivered += 1
        return delivered, refused

    @contextlib.contextmanager
    def lock(self, target: str, name: str) -> Iterator[str | None]:
        """Hold a job's lock on this machine, for this user; yields None, or which process has it. Raises OSError.

        Processes started meanwhile inherit the lock, and keep it if this process is killed.
        """
        folder = self._made()
        # Without the database, nobody knows which letters it capitalizes: of bytes, upper() changes ASCII's. Other spellings of
        # a name have locks of their own here, rather than that two jobs share one; the database's lock tells them apart.
        key = f"{target} ".encode() + name.encode("utf-8", "surrogatepass").upper()
        digest = hashlib.sha256(key).hexdigest()
        # never deleted: a process could lock the unlinked file while another locks a new one
        with _opened(folder / f"{digest[:32]}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(file, 20, 0).decode("ascii", "replace").strip()
                yield f"the job is under way on this machine{f' (process {holder})' if holder.isdigit() else ''}"
                return
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
            # F_DUPFD's copy is inherited by the command
            held = fcntl.fcntl(file, fcntl.F_DUPFD, min(INHERITED, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1))
            try:
                yield None
            finally:
                # unlocks it also for processes that have inherited it and outlive the command
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
    """The run in a file, or why there is none in it; None for a file that isn't ours, or that may still be being written."""
    try:
        with _opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) as file:
            status = os.fstat(file)
            if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
                return None
            if path.suffix == ".tmp" and time.time() - status.st_mtime < LEFT_OVER:
                return None
            if status.st_size > LARGEST:
                return "it is too large for a run"
            return PastRun.from_json(os.read(file, LARGEST))
    except OSError:
        return None
    except ValueError as error:
        return str(error)


def _set_aside(path: Path, why: str) -> str:
    """Move a file to where it is not tried again; returns a line that says so."""
    why = clean(why, 500)
    aside = path.parent / REFUSED
    try:
        aside.mkdir(mode=0o700, exist_ok=True)
        path.rename(aside / path.name)
        with _opened(aside / f"{path.name}.reason", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW) as file:
            os.write(file, f"{why}\n".encode())
    except OSError as error:
        return f"{path} can't be logged ({why}), nor set aside ({reason(error)})"
    return f"{path} can't be logged ({why}): it is set aside in {aside}"
