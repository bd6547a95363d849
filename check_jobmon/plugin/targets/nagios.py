"""Submits passive results to Nagios 4, Naemon and their like: through the external command file, or as a check result file.

Sources: the manual of Nagios Core 4, "Passive Checks" and "External Commands"; tests/system/ tries both on a real Nagios.
"""

import argparse
import contextlib
import errno
import os
import secrets
import select
import stat
import time
from collections.abc import Callable, Iterator, Sequence

from check_jobmon.config.services import HINT, NAGIOS, no_host
from check_jobmon.plugin.targets.passive_results import PassiveResult, SubmissionImpossible, SubmissionMisconfigured
from check_jobmon.text import clean

_LEAST = 200
"""Bytes of output for which there is room after the longest names."""
CACHE_SIZE = 64 * 2**20
"""Bytes of Nagios's list of objects: a larger file isn't read."""


def submit(
    place: str,
    results: Sequence[PassiveResult],
    arguments: argparse.Namespace,
    deadline: float,
    on_submitted: Callable[[int, str], None],
) -> None:
    """Submit all results: see passive_results.py."""
    most = arguments.max_output
    try:
        submitted = (
            _as_file(place, results, most) if os.path.isdir(place) else _as_commands(place, results, most, deadline)
        )
        unknown = _unknown(place, results)
        for number, (result, reason) in enumerate(zip(results, submitted, strict=True)):
            on_submitted(number, reason or unknown.get((result.host, result.service), ""))
    except OSError as error:
        raise SubmissionImpossible(f"{clean(place, 200)} can't be written: {error.strerror}") from None


def _unknown(place: str, results: Sequence[PassiveResult]) -> dict[tuple[str, str], str]:
    """What to say of each service that is not in Nagios's object cache (object_cache_file), if that can be read here.

    Their results are submitted all the same: only Nagios knows for sure, but says so in its log alone.
    """
    asked = {(result.host, result.service) for result in results}
    folder = os.path.abspath(place)
    for _ in range(3):
        folder = os.path.dirname(folder)
        path = os.path.join(folder, "objects.cache")
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace", opener=_plain_file) as cache:
            found, host = set(), ""
            for line in cache:
                name, _, value = line.strip("\n").lstrip("\t").partition("\t")
                if name == "host_name":
                    host = value
                elif name == "service_description":
                    found.add((host, value))
            reason = f"Nagios has no such service ({clean(path, 200)}): {HINT}"
            return dict.fromkeys(asked - found, reason) if found else {}
    return {}


def _plain_file(path: str, flags: int) -> int:
    """As os.open(), but refuses a pipe or a device, which somebody may have put in the file's place, and too large a file."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > CACHE_SIZE:
        os.close(descriptor)
        raise OSError(f"{path} is not Nagios's list of objects")
    return descriptor


def _escaped(text: str) -> bytes:
    """The output in one line, as Nagios reads it: `\\n` stands for a newline, and two backslashes for one."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").encode("utf-8", "replace")


def _fitting(result: PassiveResult, max_bytes: int, room: int) -> bytes:
    """The output in one line: at most max_bytes of output, which take at most `room` bytes once they are escaped."""
    max_bytes = min(max_bytes, room)
    while True:
        line = _escaped(result.text(max_bytes))
        if len(line) <= room or max_bytes <= _LEAST:
            return line
        max_bytes = max(_LEAST, max_bytes - (len(line) - room))


def _as_commands(path: str, results: Sequence[PassiveResult], max_bytes: int, deadline: float) -> Iterator[str]:
    """Why each result was refused."""
    shown = clean(path, 200)
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        reason = f"there is no {shown}: see that Nagios runs, and command_file in its nagios.cfg"
        raise SubmissionImpossible(reason) from None
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise SubmissionImpossible(f"nobody reads {shown}: see that Nagios runs") from None
        raise
    try:
        if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
            raise SubmissionMisconfigured(f"{shown} is neither Nagios's command file nor a directory")
        most = os.fpathconf(pipe, "PC_PIPE_BUF")
        for result in results:
            reason = no_host(NAGIOS, result.host)
            if not reason:
                _write(pipe, _command(result, max_bytes, most), deadline, shown)
            yield reason
    finally:
        os.close(pipe)


def _command(result: PassiveResult, max_bytes: int, most: int) -> bytes:
    """One command, short enough for the pipe to take it in one piece, so that others can't be mixed with it (pipe(7))."""
    head = f"[{int(result.ended)}] PROCESS_SERVICE_CHECK_RESULT;{result.host};{result.service};{result.result.state};".encode()
    return head + _fitting(result, max_bytes, most - len(head) - 1) + b"\n"


def _write(pipe: int, command: bytes, deadline: float, shown: str) -> None:
    while True:
        try:
            os.write(pipe, command)
            return
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                reason = f"{shown} is full, and nobody reads on: see that Nagios is not stopped"
                raise SubmissionImpossible(reason) from None
            # select() reports the pipe writable even if this command doesn't fit
            select.select([], [pipe], [], min(left, 0.05))
            time.sleep(0.005)
        except BrokenPipeError:
            raise SubmissionImpossible(f"nobody reads {shown} any longer: see why Nagios has stopped") from None


def _as_file(folder: str, results: Sequence[PassiveResult], max_bytes: int) -> list[str]:
    """Why each result was refused."""
    reasons = [no_host(NAGIOS, result.host) for result in results]
    blocks = [_block(result, max_bytes) for result, reason in zip(results, reasons, strict=True) if not reason]
    if blocks:
        _write_file(folder, b"".join([b"file_time=%d\n\n" % time.time(), *blocks]))
    return reasons


def _block(result: PassiveResult, max_bytes: int) -> bytes:
    """One result. No line may end in a backslash, which would join it with the next."""
    fields = {
        "host_name": result.host,
        "service_description": result.service,
        "check_type": 1,  # passive
        **dict.fromkeys(("check_options", "scheduled_check", "reschedule_check", "latency"), 0),
        "start_time": f"{result.began:.6f}",
        "finish_time": f"{result.ended:.6f}",
        "early_timeout": 0,
        "exited_ok": 1,
        "return_code": result.result.state,
    }
    head = "".join(f"{name}={value}\n" for name, value in fields.items()).encode("utf-8", "replace")
    return head + b"output=" + _escaped(result.text(max_bytes)) + b"\\n\n\n"


def _write_file(folder: str, data: bytes) -> None:
    """Write a file under a name that Nagios reads, and then the empty file that says that the first is complete."""
    while True:
        path = os.path.join(folder, f"c{secrets.token_hex(3)}")  # Nagios wants six characters after the c
        with contextlib.suppress(FileExistsError):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            break
    try:
        with os.fdopen(file, "wb") as opened:
            os.fchmod(file, 0o644)  # Nagios is another user; the folder keeps others out
            opened.write(data)
        os.close(os.open(path + ".ok", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    except OSError:
        os.unlink(path)
        raise
