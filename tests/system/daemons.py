"""What the tests use of daemons: a folder and an ordinary user to run them in and as, and the plugin installed there."""

import atexit
import contextlib
import functools
import grp
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from tests.database import Database, Output
from tests.servers import free_port as free_port

SOURCES = Path(__file__).parent.parent.parent
CONTRIB = SOURCES / "contrib"
DEBIAN_PYTHON = "/usr/bin/python3"
DAEMON_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/nagios/plugins"

T = TypeVar("T")


def program(name: str, package: str) -> str:
    """The path of a daemon's program. Skips the test where it is not installed."""
    found = shutil.which(name, path=DAEMON_FOLDERS)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}, or run .ci/daemons")
    return found


def ordinary_user() -> pwd.struct_passwd:
    """Who runs the daemons: whoever runs the tests, or for root, whom some of them refuse, the user nobody."""
    return pwd.getpwuid(os.geteuid()) if os.geteuid() else pwd.getpwnam("nobody")


def listens(port: int) -> bool:
    """Whether somebody accepts connections on that port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Place:
    """A folder that belongs to the ordinary user, and programs that run in it as that user."""

    folder: Path
    user: pwd.struct_passwd

    @property
    def group(self) -> str:
        """The name of the ordinary user's group."""
        return grp.getgrgid(self.user.pw_gid).gr_name

    def write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """A file of the ordinary user's."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        self.own(path)
        return path

    def make(self, name: str) -> Path:
        """A folder of the ordinary user's."""
        path = self.folder / name
        path.mkdir(parents=True)
        for part in (path, *path.parents):
            if part == self.folder:
                break
            self.own(part)
        return path

    def own(self, path: Path) -> None:
        """Give a file or folder to the ordinary user."""
        os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def popen(self, *command: str, output: int) -> "subprocess.Popen[bytes]":
        """Start a program as the ordinary user, with a bare environment."""
        root = os.geteuid() == 0
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output != subprocess.PIPE else subprocess.PIPE,
            cwd=self.folder,
            env={"PATH": DAEMON_FOLDERS, "HOME": str(self.folder), "LANG": "C.UTF-8", "TMPDIR": str(self.folder)},
            user=self.user.pw_uid if root else None,
            group=self.user.pw_gid if root else None,
            extra_groups=[] if root else None,
            start_new_session=True,
        )

    def run(self, *command: str) -> Output:
        """Run a program to its end."""
        with self.popen(*command, output=subprocess.PIPE) as process:
            stdout, stderr = process.communicate(timeout=120)
        return Output(process.returncode, stdout.decode(), stderr.decode())

    @contextlib.contextmanager
    def daemon(self, *command: str) -> Iterator["Daemon"]:
        """Run a program in the foreground, and stop it and all its children in the end."""
        log = self.folder / f"{Path(command[0]).name}.out"
        with log.open("wb") as output, self.popen(*command, output=output.fileno()) as process:
            try:
                yield Daemon(process, log)
            finally:
                _stop(process)


@dataclass(frozen=True)
class Daemon:
    """A program in the background."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def until(self, condition: Callable[[], T], what: str, seconds: float = 90) -> T:
        """What the condition gives as soon as it is true; fails if it never is or the daemon ends, with what it said."""
        end = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if self.process.poll() is not None or time.monotonic() > end:
                said = self.log.read_text(errors="replace")[-3000:]
                pytest.fail(f"{what}: not within {seconds:g}s (exit status {self.process.returncode}); it said: {said}")
            time.sleep(0.1)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    for signal in (15, 9):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)


@contextlib.contextmanager
def new_place() -> Iterator[Place]:
    """A place under a short path that everybody can reach."""
    folder = Path(tempfile.mkdtemp(prefix="jobmon-daemon-", dir="/tmp"))
    place = Place(folder, ordinary_user())
    try:
        folder.chmod(0o755)
        place.own(folder)
        yield place
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Plugin:
    """check_jobmon in a folder of plugins, which keeps what it printed for each database."""

    folder: Path
    records: Path

    def printed(self, database: Database) -> Output:
        """What the plugin gave when it last ran on that database."""
        status, _, text = (self.records / database.name).read_bytes().decode().partition("\n")
        return Output(int(status), text, "")


def install_plugin(place: Place, passwords: str) -> Plugin:
    """Put check_jobmon where a daemon finds it, with a passfile of these lines for libpq."""
    folder, records = place.make("plugins"), place.make("records")
    passfile = place.write("pgpass", passwords)
    script = f"""#!/bin/sh
# Runs check_jobmon, passes on its output and exit status, and keeps both under the name of the database.
previous= database=default
for argument; do
    [ "$previous" = -d ] && database=$argument
    previous=$argument
done
record=$(mktemp {records}/new.XXXXXX) || exit 3
PGPASSFILE={passfile} PYTHONPATH={_sources()} {shlex.quote(_interpreter())} -m check_jobmon "$@" > "$record.text"
status=$?
{{ echo $status; cat "$record.text"; }} > "$record"
mv "$record" "{records}/$database"
cat "$record.text"
rm "$record.text"
exit $status
"""
    place.write("plugins/check_jobmon", script, 0o755)
    return Plugin(folder, records)


@functools.cache
def _sources() -> Path:
    """A copy of the package that the ordinary user can read, for all plugins of this process.

    Its folders are his, so that Python keeps there what it has compiled.
    """
    folder, process = Path(tempfile.mkdtemp(prefix="jobmon-plugin-", dir="/tmp")), os.getpid()

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    folder.chmod(0o755)
    copy = folder / "check_jobmon"
    shutil.copytree(SOURCES / "check_jobmon", copy, ignore=shutil.ignore_patterns("__pycache__"))
    user = ordinary_user()
    for path, _, _ in os.walk(copy):
        os.chown(path, user.pw_uid, user.pw_gid)
    return folder


@functools.cache
def _interpreter() -> str:
    """The Python that runs the tests, or Debian's own where that one is root's alone."""
    with new_place() as place:
        for candidate in (sys.executable, DEBIAN_PYTHON):
            with contextlib.suppress(OSError):
                if place.run(candidate, "-c", "import nagiosplugin, psycopg, yaml").status == 0:
                    return candidate
    pytest.skip(
        f"the user {ordinary_user().pw_name} can run neither {sys.executable} nor {DEBIAN_PYTHON} with the plugin's libraries: "
        "apt-get install python3-nagiosplugin python3-psycopg python3-yaml, or run .ci/daemons"
    )
