"""Servers of a test's own: their data directories are copies of one, because initdb takes three times as long as a copy."""

import atexit
import functools
import subprocess
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
