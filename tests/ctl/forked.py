"""jobmonctl in a fork by tests/warm.py, with what the tests use of subprocess.Popen: it costs a tenth of a process's CPU."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from tests import warm


class Forked:
    """A program that is under way, with nothing on stdin, and pipes as stdout, unless that is given, and stderr."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        module: str = "check_jobmon.ctl",
        stdout: int | None = None,
    ) -> None:
        (out, pipe), (err, stderr) = os.pipe(), os.pipe()
        # without a buffer, which would keep from communicate() what readline() has read too much
        self.stdout = open(out, "rb", buffering=0)  # noqa: SIM115
        self.stderr = open(err, "rb", buffering=0)  # noqa: SIM115
        self._told = warm._start(
            sys.executable, module, arguments, environment, (pipe if stdout is None else stdout, stderr)
        )
        os.close(pipe)
        os.close(stderr)
        said = b""
        while not said.endswith(b" "):
            said += self._told.recv(1)
        self.pid = int(said)
        self.returncode: int | None = None

    def wait(self, timeout: float) -> int:
        """Its exit status, once it has ended."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a fork", timeout)
            self.returncode = int(self._told.recv(10))
            self._told.close()
        return self.returncode

    def poll(self) -> int | None:
        """Its exit status if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[bytes, bytes]:
        """What is still to be read of stdout and stderr, until nobody writes to them any more; and wait for its end."""
        end = time.monotonic() + timeout
        said = {file.fileno(): b"" for file in (self.stdout, self.stderr) if not file.closed}
        reading = [*said]
        while reading:
            ready, _, _ = select.select(reading, [], [], max(0, end - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired("a fork", timeout)
            for file in ready:
                data = os.read(file, 65536)
                said[file] += data
                if not data:
                    reading.remove(file)
        self.stdout.close()
        self.stderr.close()
        self.wait(max(0, end - time.monotonic()))
        stdout, stderr = said.values() or (b"", b"")
        return stdout, stderr


Process = subprocess.Popen[bytes] | Forked
