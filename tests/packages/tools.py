"""Runs the programs that build packages, which are Debian's, whatever else is on PATH."""

import subprocess
from pathlib import Path

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/dev/null"}


def run(*command: str, cwd: Path | None = None, **environment: str) -> str:
    """What it printed. Fails the test if the program fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout
