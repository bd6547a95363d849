"""What other users of this machine get of a server that the demo or a test has started."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.database import until

STRANGER = 65432
"""A uid that owns nothing."""


@contextlib.contextmanager
def _as_a_stranger() -> Iterator[None]:
    """For root, as another user. Who can't become another stays who it is."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(STRANGER)
    os.seteuid(STRANGER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def addresses(pid: int) -> list[tuple[str, str]]:
    """Where a process of PostgreSQL's or PgBouncer's listens, as libpq's host and port."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(link))
    inodes = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    found = []
    for name, host in (("tcp", "127.0.0.1"), ("tcp6", "::1")):
        for fields in _table(name):
            if fields[3] == "0A" and fields[9] in inodes:  # TCP_LISTEN
                found.append((host, str(int(fields[1].rpartition(":")[2], 16))))
    for fields in _table("unix"):
        if fields[3] == "00010000" and fields[6] in inodes:  # __SO_ACCEPTCON
            folder, _, port = fields[7].rpartition("/.s.PGSQL.")
            found.append((folder, port))
    return found


def _table(name: str) -> list[list[str]]:
    path = Path("/proc/net", name)
    return [line.split() for line in path.read_text().splitlines()[1:]] if path.exists() else []


def ways_in(pid: int) -> list[str]:
    """The addresses at which another user becomes a superuser of that process's server without a password."""
    return [f"{host}:{port}" for host, port in addresses(pid) if _lets_in(host, port)]


def _lets_in(host: str, port: str) -> bool:
    if host.startswith("/") and os.geteuid() != 0:
        return not _closed(Path(host))
    with _as_a_stranger(), contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(
            host=host, port=port, dbname="postgres", user="postgres", passfile="/nonexistent", connect_timeout=20
        ).close()
        return True
    return False


def gains(folder: Path) -> list[str]:
    """What another user gains from the server in that folder: nothing, if all is well."""
    pid = postmaster(folder)
    found = [f"superuser at {address}" for address in ways_in(pid)]
    if not _closed(folder):
        found.append(f"files in {folder}")
    if os.geteuid() == 0 and Path(f"/proc/{pid}").owner() == "postgres":
        found.append("the files of the user postgres")
    return found


def postmaster(folder: Path) -> int:
    """The process of the server in that folder, when it listens, which is when it writes the eighth line of its file."""
    file = folder / "data" / "postmaster.pid"
    until(lambda: file.exists() and len(file.read_text().splitlines()) >= 8)
    return int(file.read_text().split()[0])


def _closed(folder: Path) -> bool:
    """Whether only the folder's owner can enter it."""
    return stat.S_IMODE(folder.stat().st_mode) == 0o700
