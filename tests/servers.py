"""Servers of a test's own: their data directories are copies of one, because initdb takes three times as long as a copy.

Also the folder in which all servers of a process of pytest's have theirs, and the ports of all that listen.
"""

import atexit
import functools
import os
import random
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from check_jobmon.demo.server import Server


def create(server: Server) -> None:
    """As its create(). The superuser's password is the same in all of them."""
    made = _made_by_initdb(server.binaries)
    sources = [made.data, *([made.passfile] if server.tcp else [])]
    subprocess.run(["cp", "-a", "--reflink=auto", *sources, server.folder], check=True)


@functools.cache
def _made_by_initdb(binaries: Path) -> Server:
    server = Server(binaries, tcp=True)
    atexit.register(server.remove)
    server.create()
    return server


def free_port() -> int:
    """A TCP port of 127.0.0.1 for a server that is yet to be started: nobody listens on it, and no other test gets it.

    The kernel gives ports below 32768 to no client and to no server that takes any port.
    """
    for port in random.SystemRandom().sample(range(10240, 32768), 1000):
        taken = socket.socket(socket.AF_UNIX)
        try:
            # an abstract name, which is free again when this process has ended
            taken.bind(f"\0jobmon test port {port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            taken.close()
            continue
        _taken.append(taken)
        return port
    raise AssertionError("no port is free")


_taken: list[socket.socket] = []


def folder_of_this_process(memory: str) -> str:
    """A new folder below `memory`, where nothing is left of processes that were killed: their servers end when theirs is gone."""
    for old in Path(memory).glob("jobmon-tests-*-*"):
        if old.lstat().st_uid == os.geteuid() and not Path("/proc", old.name.split("-")[2]).exists():
            shutil.rmtree(old, ignore_errors=True)
    process = os.getpid()
    mine = tempfile.mkdtemp(prefix=f"jobmon-tests-{process}-", dir=memory)
    os.chmod(mine, 0o711)  # root's servers run as nobody

    def remove() -> None:
        if os.getpid() == process:
            shutil.rmtree(mine, ignore_errors=True)

    atexit.register(remove)
    return mine
